// Package filetest is what tests of file connectors share: reading and writing whole files through a
// connector, and the stories that every format has to survive.
//
// Path of a story: Crashes writes epochs onto a simulated disk, stops it at every change, recovers,
// goes on and reads the result; DiskFull fails writes and repeats them; Fuzz gives a source bytes
// that are no file.
//
// The package knows no format: a connector and its configuration come from the test.
package filetest
