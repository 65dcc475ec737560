// Package party has what the loads of this module share: a Carillon node as an operator starts it, what processes use, and
// as much of SIP as callers and callees need.
package party
