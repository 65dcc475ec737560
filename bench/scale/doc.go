// Package scale measures memory, lookups, changes and restarts with 10, 10,000 and 1,000,000 connectors.
package scale
