"""Translates a SAM template as CloudFormation does, with SAM's own translator. Needs no network and no credentials.

Usage: translate.py TEMPLATE

Reads a JSON object of parameter values per line and writes the translated template for each, as JSON on one line. Other
parameters have their defaults. Exits with status 3 if samtranslator is not installed.
"""

import copy
import json
import logging
import os
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
# SAM warns about its own feature toggles and metrics.
logging.disable(logging.WARNING)

try:
    from samtranslator.public.translator import ManagedPolicyLoader
    from samtranslator.translator.transform import transform
    from samtranslator.yaml_helper import yaml_parse
except ImportError:
    sys.exit(3)


class NoManagedPolicies(ManagedPolicyLoader):
    """The template names no managed policies, so there is no need to ask IAM for their ARNs."""

    def __init__(self):
        super().__init__(None)

    def load(self):
        return {}


def main(path):
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    # As sam package rewrites the path of the build.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    for line in sys.stdin:
        translated = transform(copy.deepcopy(template), json.loads(line), NoManagedPolicies())
        print(json.dumps(translated, ensure_ascii=False))


main(sys.argv[1])
