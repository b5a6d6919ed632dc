"""Creates and deletes users at Stream when Amazon Cognito does. Two Lambda functions; Lambda's Python runtime includes
all imports but user_id.py, which comes from examples/user-ids and goes beside this file.

confirmed  the user pool's trigger "Post confirmation"
deleted    the target of an EventBridge rule for the user pool's CloudTrail events:
           {"source": ["aws.cognito-idp"], "detail": {"eventName": ["AdminDeleteUser", "DeleteUser"]}}

Their roles need execute-api:Invoke on <ServiceApiArn>/POST/proxy/users and <ServiceApiArn>/DELETE/proxy/users/*.
"""

import json
import os
from urllib.parse import quote

import botocore.session
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from user_id import stream_user_id

SERVICE = os.environ["SERVICE_URL"]  # the output ServiceApiUrl
SESSION = botocore.session.Session()
HTTP = urllib3.PoolManager(timeout=4.0)  # Cognito waits 5 s for a trigger and tries three times


def call(method, path, value=None):
    body = None if value is None else json.dumps(value)
    request = AWSRequest(method=method, url=SERVICE + path, data=body, headers={"Content-Type": "application/json"})
    SigV4Auth(SESSION.get_credentials(), "execute-api", os.environ["AWS_REGION"]).add_auth(request)
    return HTTP.request(method, SERVICE + path, body=body, headers=dict(request.headers.items()))


def confirmed(event, context):
    # The trigger also runs after a forgotten password.
    if event["triggerSource"] == "PostConfirmation_ConfirmSignUp":
        attributes = event["request"]["userAttributes"]
        user = {"id": stream_user_id(attributes["sub"])}
        if "name" in attributes:
            user["name"] = attributes["name"]
        answer = call("POST", "/proxy/users", {"users": {user["id"]: user}})
        if answer.status >= 300:
            # A failure here must not keep anybody from signing up. With SyncUsers, signing in creates the user anyway.
            print(json.dumps({"level": "ERROR", "message": "user not created at Stream", "status": answer.status}))
    return event


def deleted(event, context):
    user = stream_user_id(event["detail"]["additionalEventData"]["sub"])
    answer = call("DELETE", f"/proxy/users/{quote(user)}?mark_messages_deleted=true")
    if answer.status >= 300 and answer.status != 404:  # 404: already deleted
        raise RuntimeError(f"user not deleted at Stream: status {answer.status}")  # Lambda retries
