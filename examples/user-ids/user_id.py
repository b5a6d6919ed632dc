import hashlib
import re


def stream_user_id(claim, prefix=""):
    start = prefix and prefix + "@--"
    characters = claim.encode().decode("latin-1")  # one per byte
    id = start + re.sub("@(?=-)|[^A-Za-z0-9@_-]", lambda c: "@-%02X" % ord(c[0]), characters)
    return id if len(id) <= 255 else start + "@-sha256-" + hashlib.sha256(claim.encode()).hexdigest()
