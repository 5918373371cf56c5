// Package arch holds checks of the repository itself: which package imports
// which, how long functions and files are, which words are used, and that
// what is exported is documented. `make check` runs them.
package arch
