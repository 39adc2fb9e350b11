//go:build race

package tapeline_test

const raceDetector = true
