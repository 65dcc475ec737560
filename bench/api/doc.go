// Package api measures durable creates through the API beside bare puts into the same store.
package api
