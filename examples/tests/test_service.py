"""The backend in a test of yours, with the standard library: python -m unittest, or pytest."""

import json
import os
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request


def call(method, url, body=None, **headers):
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        command = [os.environ.get("LOCAL", "local"), "-addr", ":0", "-json"]
        cls.server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        cls.local = json.loads(cls.server.stdout.readline())

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        assert cls.server.wait(10) == 0
        cls.server.stdout.close()

    def setUp(self):
        status, text = call("POST", self.local["clientUrl"] + "/.local/reset")
        self.assertTrue(json.loads(text)["ok"], text)

    def seed(self, **what):
        status, text = call("POST", self.local["clientUrl"] + "/.local/seed", what)
        self.assertTrue(json.loads(text)["ok"], text)

    def test_a_client_gets_what_was_seeded(self):
        self.seed(config={"web": {"theme": "plum"}}, users=[{"id": "alice", "name": "Alice"}])
        _, text = call("GET", self.local["clientUrl"] + "/config?clientType=web")
        self.assertEqual(json.loads(text)["theme"], "plum")
        query = urllib.parse.quote(json.dumps({"filter_conditions": {"id": "alice"}}))
        _, text = call("GET", self.local["serviceUrl"] + "/proxy/users?payload=" + query)
        self.assertEqual(json.loads(text)["users"][0]["name"], "Alice")

    def test_an_event_reaches_the_bus(self):
        status, text = call("POST", self.local["clientUrl"] + "/.local/trigger", {"type": "user.banned", "cid": "messaging:x"})
        self.assertEqual(json.loads(text)["status"], 200)
        _, text = call("GET", self.local["clientUrl"] + "/.local/events")
        self.assertEqual(json.loads(text)["events"][-1]["detail-type"], "user.banned")

    def test_an_outage_of_stream(self):
        call("PUT", self.local["clientUrl"] + "/.local/faults/Stream", b"off")
        status, _ = call("GET", self.local["serviceUrl"] + "/proxy/app")
        self.assertEqual(status, 502)


if __name__ == "__main__":
    unittest.main()
