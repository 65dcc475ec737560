// Package carillon holds no code: it is the place of the tests that hold the house rules. ARCHITECTURE.md says
// where everything is, layers.txt who may import whom.
package carillon
