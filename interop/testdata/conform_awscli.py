"""Runs commands of Debian's AWS CLI: conform_awscli.py ENDPOINT NAMESPACE, calls on standard input.

Each command is a process of its own that does what /usr/bin/aws does, from its arguments to its exit status. It is
forked from this one, which has imported the CLI already: that is most of what a command costs.
"""

import json
import os
import re
import shlex
import sys
import tempfile

import awscli.clidriver

from conform_botocore import known, say, serve

ENDPOINT, NAMESPACE = sys.argv[1:3]
SERVICE_ERROR = 254
COMPLAINT = re.compile(r"An error occurred \((\w+)\) when calling the (\w+) operation(?: \([^)]*\))?: (.*)", re.S)


def run(arguments):
    """Runs one command and returns its exit status and what it wrote."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(complaints.fileno(), 2)
            sys.argv = ["aws", *arguments]
            status = 255
            try:
                status = awscli.clidriver.main()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        complaints.seek(0)
        return os.waitstatus_to_exitcode(status), out.read().decode(), complaints.read().decode()


def call(request):
    arguments = ["--endpoint-url", ENDPOINT, "--output", "json"]
    if "line" in request:  # as somebody would type it, from the namespace on
        arguments += shlex.split(request["line"])
    else:
        arguments += [NAMESPACE, request["command"]]
        if request["in"]:
            arguments += ["--cli-input-json", json.dumps(request["in"])]
        if request["page"]:
            arguments += ["--page-size", str(request["page"])]
    status, out, complaint = run(arguments)
    if status == 0 and not complaint.strip():
        output = json.loads(out) if out.strip() else {}
        return {"pages": [output], "merged": True} if request.get("page") else {"out": output}
    match = COMPLAINT.search(complaint)
    if status != SERVICE_ERROR or not match or out.strip():
        return {"broken": f"exit status {status}, printed {out!r}, complained {complaint!r}"}
    fault, operation, message = match.groups()
    return {"fault": fault, "typed": operation == request.get("operation"), "message": message.strip()}


def commands():
    """The commands of the namespace, as the CLI itself lists them, by operation."""
    service = awscli.clidriver.create_clidriver()._get_command_table()[NAMESPACE]
    table = service._get_command_table()
    return {c._operation_model.name: (name, c._operation_model) for name, c in table.items() if hasattr(c, "_operation_model")}


table = commands()
session = awscli.clidriver.create_clidriver().session
paginators = session.get_paginator_model(NAMESPACE)._paginator_config
say(known([model for _, model in table.values()], lambda name: table[name][0], paginators.__contains__))
serve(call)
