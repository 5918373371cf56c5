// Package soak runs a worker in memory for a long time under churn and looks
// at what a long run may spoil: memory, counts, the balance of frames.
// `make soak` runs it for 30 minutes, SOAK=1m for a minute.
package soak
