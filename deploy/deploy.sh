#!/bin/sh
# Builds and deploys the stack of one environment: make deploy ENV=prod
#
#   ENV   a name of a-z, 0-9 and -; the stack is chat-service-$ENV
#   CI    if true, nothing has to be confirmed
#
# Template parameters come from deploy/$ENV.env, one Name=Value per line, which upgrades do not touch. A parameter that is not
# in the file keeps the value that the stack has; a new stack starts with the defaults below and those of the template.
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

for tool in aws sam; do
	command -v $tool >/dev/null || fail "want the command $tool, found none in PATH; README.md links to its installation"
done

# describe-stacks fails if the stack does not exist, and for many other reasons.
if answer=$(aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackStatus' --output text 2>&1); then
	new=false
	case $answer in
	REVIEW_IN_PROGRESS) new=true ;;
	ROLLBACK_COMPLETE) fail "the first deployment of $stack failed and cannot be updated; delete it (sam delete --stack-name $stack) and deploy again" ;;
	esac
else
	case $answer in
	*'does not exist'*) new=true ;;
	*) fail "cannot look up the stack $stack: $answer" ;;
	esac
fi

set --
if $new; then
	set -- "ParameterPrefix=\"/chat-service-$ENV\""
	case $ENV in
	prod) set -- "$@" 'Environment="prod"' 'RetentionDays="90"' ;;
	*) set -- "$@" 'Environment="dev"' 'LogLevel="DEBUG"' 'RetentionDays="7"' ;;
	esac
fi
if [ -f "$choices" ]; then
	parameters=$(sed -n '/^Parameters:/,/^Rules:/s/^  \([A-Za-z0-9]*\):$/\1/p' template.yaml)
	while IFS= read -r line || [ -n "$line" ]; do
		line=${line%"$(printf '\r')"} # of an editor on Windows
		case $line in
		'' | '#'*) continue ;;
		*[\"\\]*) fail "$choices: want a value without quotes and backslashes, got $line" ;;
		*=*) ;;
		*) fail "$choices: want Name=Value, got $line" ;;
		esac
		# The SAM CLI ignores names that it does not know.
		printf '%s\n' "$parameters" | grep -qxF -e "${line%%=*}" || fail "$choices: want a parameter of template.yaml, got ${line%%=*}"
		# Without the quotes, the SAM CLI would reject an empty value. If a name is given twice, it uses the later value.
		set -- "$@" "${line%%=*}=\"${line#*=}\""
	done <"$choices"
else
	echo "deploy: found no $choices; $stack keeps its parameters or gets the defaults (deploy/sample.env shows what to set)" >&2
fi

confirm=--no-confirm-changeset
[ "$ENV" != prod ] || [ "${CI:-}" = true ] || confirm=--confirm-changeset
sam build
# The SAM CLI rejects --parameter-overrides without a value.
sam deploy --stack-name "$stack" --s3-prefix "$stack" $confirm ${1:+--parameter-overrides "$@"}
