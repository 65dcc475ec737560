// Package sigv4 verifies requests signed with AWS Signature Version 4, and signs them.
//
// Both forms, the Authorization header and the presigned query, end in one [Verifier.Verify]. It canonicalises the
// request line as it was sent and exactly the headers the client says it signed, so proxies may add others. The path is
// encoded once more (the rule of every service but S3): "/phone-numbers/%2B1206…" is signed as "/phone-numbers/%252B1206…".
//
// # Choices where AWS leaves room or does not say
//
//   - The body is always part of the signature. x-amz-content-sha256, when sent, must be the body's hash;
//     UNSIGNED-PAYLOAD and the streaming forms are refused, in the query form too: no client of a REST-JSON service
//     sends them, and over plain http they would let anyone on the path rewrite a request.
//   - Host must be signed. The date need not be: it is in the string to sign. Other unsigned headers are allowed;
//     AWS CLIs leave amz-sdk-invocation-id and more unsigned.
//   - SignedHeaders must be lower case, sorted and free of repetitions, as the specification wants and every SDK does.
//   - Any region is accepted in the credential scope.
//   - A presigned request is good for X-Amz-Expires, at most seven days, and for 15 minutes where it names none.
//   - A '+' in the query is a space, as it is to whoever reads the parameters afterwards.
//   - Credentials in the header and in the query together are refused.
//
// A refusal is an [*Error] whose [Fault] says which rule was broken; the sentence is the one AWS clients know, without
// the client's values.
package sigv4
