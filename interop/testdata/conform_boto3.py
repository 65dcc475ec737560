"""Calls operations through boto3: conform_boto3.py ENDPOINT NAMESPACE, calls on standard input."""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from conform_botocore import known, say, serve

ENDPOINT, NAMESPACE = sys.argv[1:3]
CLIENT = boto3.client(NAMESPACE, endpoint_url=ENDPOINT, config=Config(retries={"max_attempts": 0}))
METHODS = {operation: method for method, operation in CLIENT.meta.method_to_api_mapping.items()}


def plain(output):
    output.pop("ResponseMetadata", None)
    return output


def call(request):
    method, arguments = request["command"], request["in"]
    try:
        if request["page"]:
            pages = CLIENT.get_paginator(method).paginate(**arguments, PaginationConfig={"PageSize": request["page"]})
            return {"pages": [plain(page) for page in pages]}
        output = getattr(CLIENT, method)(**arguments)
        status = output["ResponseMetadata"]["HTTPStatusCode"]
        return {"out": plain(output), "status": status}
    except ClientError as e:
        # A modelled exception is a class of the client's own, and the one its factory hands out under that name.
        own = getattr(CLIENT.exceptions, type(e).__name__, None) if type(e) is not ClientError else None
        return {
            "fault": e.response["Error"]["Code"],
            "typed": own is type(e) and type(e).__name__ == e.response["Error"]["Code"],
            "message": e.response["Error"]["Message"],
            "code": e.response.get("Code"),  # only the model of the namespace chime has it
            "status": e.response["ResponseMetadata"]["HTTPStatusCode"],
        }
    except Exception as e:  # whatever it is, it is for the suite to judge
        return {"broken": repr(e)}


model = CLIENT.meta.service_model
say(known([model.operation_model(name) for name in model.operation_names], METHODS.get, lambda name: CLIENT.can_paginate(METHODS[name])))
serve(call)
