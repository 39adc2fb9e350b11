// Package lifecycle starts, stops and supervises goroutines.
//
// Path of one failure in a group: the function returns an error or panics -> Group ends the
// context of the others with that error as its cause -> Group.Wait returns it when all have ended.
// Path of one failure of a supervised service: Service.Serve -> Restarts.Next -> the delay -> the
// service anew, or its end, which Service.Wait returns.
//
// Invariants: every goroutine has a name and one owner that waits for it; a stop is the cause of a
// context, never a flag; a panic becomes a *PanicError with its stack; strategies know no clock
// and do no I/O.
//
// Supervisors form a tree (cluster, workflows, tasks) on suture. The package knows nothing of what
// runs in it. Repeating one call is retry's.
package lifecycle
