"""Translates a SAM template as CloudFormation does, with SAM's own translator, without network or credentials.

Usage: translate.py TEMPLATE

Reads a JSON object of parameter values per line and answers each with the translated template, as JSON on one line.
Parameters that are not named have their defaults.
"""

import copy
import json
import logging
import os
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
# SAM warns of its own feature toggles and metrics.
logging.disable(logging.WARNING)

from samtranslator.public.translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies(ManagedPolicyLoader):
    """The functions' roles are the template's own, so IAM need not be asked for the names of managed policies."""

    def __init__(self):
        super().__init__(None)

    def load(self):
        return {}


def main(path):
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    # What sam package does to the path of the build.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    for line in sys.stdin:
        translated = transform(copy.deepcopy(template), json.loads(line), NoManagedPolicies())
        print(json.dumps(translated, ensure_ascii=False), flush=True)


main(sys.argv[1])
