# The Chat Service Backend as a module. template_url is what `aws cloudformation package` writes from a release, in S3:
#
#   aws cloudformation package --template-file template.yaml --s3-bucket my-bucket --s3-prefix chat --output-template-file packaged.yaml
#   aws s3 cp packaged.yaml s3://my-bucket/chat/v1.0.0.yaml
#
#   module "chat" {
#     source       = "./chat-service"
#     name         = "chat-service-prod"
#     template_url = "https://my-bucket.s3.eu-central-1.amazonaws.com/chat/v1.0.0.yaml"
#     parameters   = { Environment = "prod", AlarmTarget = "ops@example.com" }
#   }
#
# The template is over 51,200 bytes, so it cannot be template_body, and it has a transform, so it needs CAPABILITY_AUTO_EXPAND.
terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "name" {
  type        = string
  description = "Name of the stack. ops finds it as -stack NAME, and chat-service-ENV as -env ENV."
  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,47}$", var.name))
    error_message = "The archive's name, and with an end of 16 characters the name of the doctor's rule, hold at most 48 characters of it."
  }
}

variable "template_url" {
  type        = string
  description = "URL in S3 of the packaged template."
}

variable "parameters" {
  type        = map(string)
  default     = {}
  description = "The template's parameters: docs/settings.md. Terraform shows their values; none is a secret."
}

# Whose roles may do what: for each, the name of a role, and methods and paths such as "POST /proxy/users".
variable "callers" {
  type    = map(list(string))
  default = {}
}

resource "aws_cloudformation_stack" "chat" {
  name         = var.name
  template_url = var.template_url
  parameters   = var.parameters
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
}

resource "aws_iam_role_policy" "caller" {
  for_each = var.callers
  name     = "${var.name}-caller"
  role     = each.key
  policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect   = "Allow"
    Action   = "execute-api:Invoke"
    Resource = [for route in each.value : "${aws_cloudformation_stack.chat.outputs["ServiceApiArn"]}/${replace(route, " /", "/")}"]
  }] })
}

output "outputs" {
  value       = aws_cloudformation_stack.chat.outputs
  description = "The stack's outputs, such as ServiceApiUrl and EventBusName."
}
