// Package store measures durable writes through the store beside bare puts to the same etcd.
package store
