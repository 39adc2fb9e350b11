// Package workload makes order flow for measuring and proving books: the five public workloads of the
// matching-engine benchmark (github.com/flash1-dev/matching-engine-benchmark), message for message, and the
// digest of the reports that every correct book answers them with.
//
// Path: ByName -> Scenario.Commands (a seeded walk of prices, orders along it, their changes and cancels,
// shuffled and put in order of time) -> a book -> Canon (reports as lines, SHA-256).
//
// The flow is the same on every machine: the random numbers are those of the 32-bit Mersenne Twister, and
// what is drawn from them is written out here.
package workload
