"""A rule for users who sign in: paying users only. The id and the teams come from the
table; a user without a row keeps the id that their token gives them."""

import os


def find(sub):
    import boto3  # in Lambda's Python runtime

    row = boto3.resource("dynamodb").Table(os.environ["TABLE"]).get_item(Key={"sub": sub}).get("Item")
    return row and {"chatId": row.get("chatId"), "teams": sorted(row["teams"]) if "teams" in row else None}


def rule(event, row=find):
    claims = event["claims"]
    if claims.get("https://acme.com/plan") not in ("pro", "team"):
        return {"allow": False, "message": "The chat comes with the plan Pro."}
    user = row(claims["sub"])
    return {"userId": user["chatId"], "teams": user["teams"]} if user else {}


def handler(event, context):
    return rule(event)
