// Package iam says who is calling and what they may do: access keys, principals and policies in AWS's policy language.
//
// A policy is judged completely when it is parsed. An element, operator, key or variable this package does not know is
// an error there, never something to skip: a Deny that is silently ignored would be an Allow.
package iam
