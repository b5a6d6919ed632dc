"""Calls the Service API: fetches a user token, and calls Stream's REST API through the proxy. Needs requests and botocore (part of boto3).

Copy SigV4, and stream_chat for Stream's own SDK. botocore finds credentials on Lambda, on ECS and on a developer's machine.
"""
import json
import os
import sys
from urllib.parse import quote, urlsplit

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import Session

SERVICE = os.environ["SERVICE_URL"]  # the output ServiceApiUrl


class SigV4(requests.auth.AuthBase):
    """Signs a request with AWS credentials and replaces its Authorization header."""

    session = Session()

    def __call__(self, request):
        url = urlsplit(request.url)
        # requests writes a space as a plus sign and leaves ( and * as they are; AWS signs all of these percent-encoded.
        request.url = url._replace(query=quote(url.query.replace("+", "%20"), safe="%=&")).geturl()
        copy = AWSRequest(request.method, request.url, data=request.body, headers={"Content-Type": request.headers.get("Content-Type", "application/json")})
        SigV4Auth(self.session.get_credentials(), "execute-api", os.environ["AWS_REGION"]).add_auth(copy)
        request.headers.update(dict(copy.headers))
        return request


def only_the_backend(*args, **kwargs):
    raise RuntimeError("This needs the app's secret, which only the backend has: call GET /token/{userId} or POST /webhook/verify.")


def stream_chat():
    """Returns Stream's own client (pip install stream-chat), with signed calls. The proxy replaces key and secret."""
    from stream_chat import StreamChat

    chat = StreamChat(api_key="unused", api_secret="unused", base_url=SERVICE + "/proxy")
    chat.session.auth = SigV4()
    chat.create_token = chat.verify_webhook = only_the_backend  # they would sign with the made-up secret

    def send_file(uri, url, name, user, content_type=None):  # the SDK's own leaves the session out
        with open(url, "rb") as file:
            answer = chat.session.post(f"{chat.base_url}/{uri}", params=chat.get_default_params(), data={"user": json.dumps(user)},
                                       files={"file": (name, file.read(), content_type)}, timeout=30)
        return chat._parse_response(answer)

    chat.send_file = send_file
    return chat


def call(method, path, body=None):
    answer = requests.request(method, SERVICE + path, json=body, auth=SigV4(), timeout=30)
    answer.raise_for_status()
    return answer.json()


def handler(event=None, context=None):
    """The handler of a Lambda function. Lambda's runtime includes botocore; put requests into the package."""
    token = call("GET", "/token/alice")
    users = call("POST", "/proxy/users", {"users": {"bob": {"id": "bob", "name": "Bob"}}})
    return {"token": token["token"], "upserted": list(users["users"])}


if __name__ == "__main__":  # python3 service.py, or python3 service.py GET '/proxy/users?payload={}'
    print(json.dumps(call(*sys.argv[1:])) if sys.argv[1:] else handler())
