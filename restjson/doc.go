// Package restjson reads requests and writes answers and exceptions of the AWS REST-JSON 1 protocol.
//
// It knows no operation. A caller hands it rows: a [Route] for each operation (method, URI template, literal query
// selectors) and a [Shape] for each input (members, where they are bound, their constraints). A [Router] finds the row
// of a request, [Decode] fills a Go struct and holds it against the shape, a [Writer] writes what AWS clients parse.
//
// # Where this reader is stricter or looser than the Smithy server rules
//
//   - Content-Type is not looked at. Smithy answers 415 to a missing or foreign one; older AWS CLIs send a body
//     without any, and AWS serves them.
//   - A body sent to an operation without body members is ignored, as AWS does; so is an unknown member.
//   - Member names are case-sensitive; of a repeated member the last one counts.
//   - A float literal for an integer member is refused even where its value is whole (1.0, 1e2).
//   - Invalid UTF-8 anywhere in the body is refused, where Go's own decoder would replace it silently.
//   - Validation sentences have the AWS form with the value quoted ("Value 'x' at 'name' failed to satisfy
//     constraint: …"), one for each violated bound, where Smithy's newer text names both bounds and no value.
package restjson
