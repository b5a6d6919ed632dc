#!/bin/sh
# Builds the stack of one environment and deploys it: make deploy ENV=prod
#
#   ENV   any name of a-z, 0-9 and -; the stack is chat-service-$ENV
#   CI    true asks nothing
#
# Template parameters come from deploy/$ENV.env, one Name=Value a line, which no upgrade touches. Those that it does not
# name keep the value that the stack has; a new stack gets the defaults below and the template's.
set -eu
cd "$(dirname "$0")/.."

fail() {
	echo "deploy: $1" >&2
	exit "${2:-1}"
}

ENV=${ENV:-dev}
case $ENV in
*[!a-z0-9-]* | -* | *- | '' | ?????????????????????*) fail "want ENV to be up to 20 of a-z, 0-9 and -, got $ENV" 2 ;;
esac
stack=chat-service-$ENV
choices=deploy/$ENV.env

# describe-stacks fails for a stack that is not there and for much else; only the first is an answer.
if answer=$(aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackStatus' --output text 2>&1); then
	new=false
	[ "$answer" != REVIEW_IN_PROGRESS ] || new=true
else
	case $answer in
	*'does not exist'*) new=true ;;
	*) fail "cannot ask for the stack $stack: $answer" ;;
	esac
fi

set --
if $new; then
	set -- "ParameterPrefix=\"/chat-service/$ENV\""
	case $ENV in
	prod) set -- "$@" 'Environment="prod"' 'LogRetentionDays="90"' ;;
	*) set -- "$@" 'Environment="dev"' 'LogLevel="DEBUG"' 'LogRetentionDays="7"' ;;
	esac
fi
if [ -f "$choices" ]; then
	while IFS= read -r line || [ -n "$line" ]; do
		case $line in
		'' | '#'*) continue ;;
		*[\"\\]*) fail "$choices: want a value without quotes and backslashes, got $line" ;;
		[A-Z]*=*) ;;
		*) fail "$choices: want Name=Value, got $line" ;;
		esac
		# The quotes are for the SAM CLI, which would not take an empty value without them. Of two values it takes the later.
		set -- "$@" "${line%%=*}=\"${line#*=}\""
	done <"$choices"
else
	echo "deploy: no $choices, so $stack has the defaults; deploy/sample.env shows what to choose" >&2
fi

confirm=--no-confirm-changeset
[ "$ENV" != prod ] || [ "${CI:-}" = true ] || confirm=--confirm-changeset
sam build
# Without parameters there must be no option either: it takes at least one.
sam deploy --stack-name "$stack" --s3-prefix "$stack" $confirm ${1:+--parameter-overrides "$@"}
