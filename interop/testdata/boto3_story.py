"""Every operation of the Voice Connector family through boto3, and every error by its type.

Run by TestBoto3: boto3_story.py ENDPOINT NAMESPACE DOMAIN. Prints one line and exits 0 if all of it held.
"""

import datetime
import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT, NAMESPACE, DOMAIN = sys.argv[1:4]
CONFIG = Config(retries={"max_attempts": 0}, region_name="us-east-1")
UNKNOWN = "abcdefghijklmnopqrstuv"


def client(**more):
    return boto3.client(NAMESPACE, endpoint_url=ENDPOINT, config=CONFIG, **more)


def raises(exception, status, call, **arguments):
    """The call must raise that exception of the client, not a mere ClientError, with that HTTP status."""
    try:
        call(**arguments)
    except exception as e:
        got = e.response["ResponseMetadata"]["HTTPStatusCode"]
        assert got == status, (call, got)
        assert e.response["ResponseMetadata"]["RequestId"], e.response
        assert e.response["Error"]["Message"], e.response
        return e
    raise AssertionError(f"{call} {arguments} raised nothing")


def untyped(code, call, **arguments):
    """Errors of signatures are in no model: botocore knows them by their code."""
    try:
        call(**arguments)
    except ClientError as e:
        assert e.response["Error"]["Code"] == code, e.response
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 403, e.response
        return
    raise AssertionError(f"{code}: nothing was raised")


def connectors(c):
    made = c.create_voice_connector(Name="boto", RequireEncryption=True, AwsRegion="us-west-2")
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201, made
    vc = made["VoiceConnector"]
    vcid = vc["VoiceConnectorId"]
    assert vc["OutboundHostName"] == f"{vcid}.voiceconnector.{DOMAIN}", vc
    assert vc["Name"] == "boto" and vc["RequireEncryption"] is True and vc["AwsRegion"] == "us-west-2", vc
    assert isinstance(vc["CreatedTimestamp"], datetime.datetime) and vc["CreatedTimestamp"].tzinfo, vc
    assert c.get_voice_connector(VoiceConnectorId=vcid)["VoiceConnector"] == vc
    new = c.update_voice_connector(VoiceConnectorId=vcid, Name="boto2", RequireEncryption=False)["VoiceConnector"]
    assert new["Name"] == "boto2" and new["RequireEncryption"] is False, new
    assert new["UpdatedTimestamp"] > vc["UpdatedTimestamp"] and new["CreatedTimestamp"] == vc["CreatedTimestamp"], new
    return vcid


def pages(c):
    seen, token = [], None
    while True:
        page = c.list_voice_connectors(MaxResults=7, **({"NextToken": token} if token else {}))
        assert len(page["VoiceConnectors"]) <= 7
        seen += [vc["VoiceConnectorId"] for vc in page["VoiceConnectors"]]
        token = page.get("NextToken")
        if not token:
            break
    assert len(seen) == len(set(seen)), "a connector is on two pages"
    return seen


def termination(c, vcid):
    rules = {"CpsLimit": 2, "CallingRegions": ["US", "DE"], "CidrAllowedList": ["192.0.2.0/24"], "Disabled": True}
    assert c.put_voice_connector_termination(VoiceConnectorId=vcid, Termination=rules)["Termination"] == rules
    assert c.get_voice_connector_termination(VoiceConnectorId=vcid)["Termination"] == rules
    users = [{"Username": f"user{i}", "Password": f"secret-{i}"} for i in range(3)]
    c.put_voice_connector_termination_credentials(VoiceConnectorId=vcid, Credentials=users[:2])
    c.put_voice_connector_termination_credentials(VoiceConnectorId=vcid, Credentials=users[2:])
    names = lambda: c.list_voice_connector_termination_credentials(VoiceConnectorId=vcid)["Usernames"]
    assert sorted(names()) == ["user0", "user1", "user2"], names()
    c.delete_voice_connector_termination_credentials(VoiceConnectorId=vcid, Usernames=["user0", "user1", "user2"])
    assert names() == [], names()
    assert c.get_voice_connector_termination_health(VoiceConnectorId=vcid)["TerminationHealth"] == {}
    answer = c.delete_voice_connector_termination(VoiceConnectorId=vcid)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204, answer


def origination(c, vcid):
    routes = {"Disabled": False, "Routes": [
        {"Host": "pbx.example.com", "Port": 5061, "Protocol": "TCP", "Priority": 1, "Weight": 5},
        {"Host": "198.51.100.9", "Port": 5070, "Protocol": "UDP", "Priority": 2, "Weight": 1}]}
    assert c.put_voice_connector_origination(VoiceConnectorId=vcid, Origination=routes)["Origination"] == routes
    assert c.get_voice_connector_origination(VoiceConnectorId=vcid)["Origination"] == routes
    assert c.delete_voice_connector_origination(VoiceConnectorId=vcid)["ResponseMetadata"]["HTTPStatusCode"] == 204


def errors(c, vcid):
    x = c.exceptions
    rules = {"CallingRegions": ["US"], "CidrAllowedList": ["10.0.0.0/8"]}
    absent = [
        (c.get_voice_connector, {}), (c.delete_voice_connector, {}), (c.get_voice_connector_termination, {}),
        (c.update_voice_connector, {"Name": "x", "RequireEncryption": True}),
        (c.put_voice_connector_termination, {"Termination": rules}), (c.delete_voice_connector_termination, {}),
        (c.put_voice_connector_termination_credentials, {"Credentials": [{"Username": "a", "Password": "b"}]}),
        (c.list_voice_connector_termination_credentials, {}), (c.get_voice_connector_termination_health, {}),
        (c.delete_voice_connector_termination_credentials, {"Usernames": ["a"]}),
        (c.put_voice_connector_origination, {"Origination": {"Disabled": True}}), (c.get_voice_connector_origination, {}),
        (c.delete_voice_connector_origination, {}),
    ]
    for call, arguments in absent:
        raises(x.NotFoundException, 404, call, VoiceConnectorId=UNKNOWN, **arguments)
    raises(x.NotFoundException, 404, c.get_voice_connector_termination, VoiceConnectorId=vcid)
    raises(x.NotFoundException, 404, c.get_voice_connector_origination, VoiceConnectorId=vcid)
    e = raises(x.BadRequestException, 400, c.create_voice_connector, Name="n" * 257, RequireEncryption=True)
    assert "256" in e.response["Error"]["Message"], e.response
    # botocore does not know the values of an enumeration, nor patterns: only the server does.
    raises(x.BadRequestException, 400, c.create_voice_connector, Name="demo", RequireEncryption=True, AwsRegion="mars-1")
    raises(x.BadRequestException, 400, c.put_voice_connector_termination, VoiceConnectorId=vcid,
           Termination={"CallingRegions": ["US"], "CidrAllowedList": ["0.0.0.0/0"]})
    raises(x.BadRequestException, 400, c.put_voice_connector_origination, VoiceConnectorId=vcid, Origination={
        "Routes": [{"Host": "a.example", "Port": 5061, "Protocol": "SCTP", "Priority": 1, "Weight": 1}]})
    raises(x.ForbiddenException, 403, c.list_sip_media_applications)
    untyped("InvalidSignatureException", client(aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="wrong").list_voice_connectors)
    untyped("UnrecognizedClientException", client(aws_access_key_id="AKIAQQQQQQQQQQQQQQQQ", aws_secret_access_key="any").list_voice_connectors)


def main():
    c = client()
    vcid = connectors(c)
    assert vcid in pages(c), "the connector is on no page"
    errors(c, vcid)
    termination(c, vcid)
    origination(c, vcid)
    assert c.delete_voice_connector(VoiceConnectorId=vcid)["ResponseMetadata"]["HTTPStatusCode"] == 204
    raises(c.exceptions.NotFoundException, 404, c.get_voice_connector, VoiceConnectorId=vcid)
    assert vcid not in pages(c), "a deleted connector is still on a page"
    print(f"{NAMESPACE}: all of it held, boto3 {boto3.__version__}")


if __name__ == "__main__":
    main()
