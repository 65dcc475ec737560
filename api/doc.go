// Package api is the control plane: it answers the Voice Connector operations of both AWS namespaces, and Carillon's
// own under /carillon/v1/, on one listener.
//
// Every request takes the same steps, listed in one place ([Server.serve]), and every operation is a row of one table
// ([Operations]): router, IAM, metrics and documents read the same rows. A write is one transaction of the store and is
// answered only when this node's directory has applied it, so a client can use at once what it made.
//
// Wire shapes stop at the handlers; the rules of a valid connector are in package trunk.
package api
