"""The backend in tests of yours, with pytest and the standard library. LOCAL names the program."""

import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest


def call(method, url, body=None):
    data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="session")
def server():
    command = [os.environ.get("LOCAL", "local"), "-addr", ":0", "-json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield json.loads(process.stdout.readline())  # clientUrl, serviceUrl, streamUrl, issuer
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture
def local(server):
    """The server as at its start."""
    assert call("POST", server["clientUrl"] + "/.local/reset")[1]["ok"]
    return server


def test_a_client_gets_what_was_seeded(local):
    seed = {"config": {"web": {"theme": "plum"}}, "users": [{"id": "alice", "name": "Alice"}]}
    assert call("POST", local["clientUrl"] + "/.local/seed", seed)[1]["ok"]
    assert call("GET", local["clientUrl"] + "/config?clientType=web")[1]["theme"] == "plum"
    query = urllib.parse.quote(json.dumps({"filter_conditions": {"id": "alice"}}))
    _, answer = call("GET", local["serviceUrl"] + "/proxy/users?payload=" + query)
    assert answer["users"][0]["name"] == "Alice"


@pytest.mark.parametrize("kind", ["message.new", "user.banned"])
def test_an_event_reaches_the_bus(local, kind):
    _, answer = call("POST", local["clientUrl"] + "/.local/trigger", {"type": kind, "cid": "messaging:x"})
    assert answer["status"] == 200
    _, answer = call("GET", local["clientUrl"] + "/.local/events")
    assert [event["detail-type"] for event in answer["events"]] == [kind]


def test_an_outage_of_stream(local):
    assert call("PUT", local["clientUrl"] + "/.local/faults/Stream", "off")[1]["ok"]
    status, _ = call("GET", local["serviceUrl"] + "/proxy/app")
    assert status == 502
