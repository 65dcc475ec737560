"""What the two clients that are built on botocore share: telling what their model knows."""

import json
import sys


def shape(s, depth=0):
    """A shape of botocore's as the suite reads it."""
    if s is None or depth > 12:
        return None
    out = {"kind": s.type_name}
    if s.type_name == "structure":
        out["members"] = {name: shape(m, depth + 1) for name, m in s.members.items()}
    elif s.type_name == "list":
        out["element"] = shape(s.member, depth + 1)
    elif s.type_name == "map":
        out["element"] = shape(s.value, depth + 1)
    return out


def known(operations, command, paginates):
    """Each operation of a service model that the client has a command for."""
    return {
        op.name: {
            "input": shape(op.input_shape),
            "output": shape(op.output_shape),
            "command": command(op.name),
            "paginator": paginates(op.name),
        }
        for op in operations
        if command(op.name)
    }


def say(line):
    print(json.dumps(line, default=lambda v: v.isoformat()), flush=True)


def serve(call):
    """Answers each line of standard input with one line."""
    for line in sys.stdin:
        say(call(json.loads(line)))
