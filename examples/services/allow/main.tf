# Terraform. aws_iam_role.caller is the role of the service that calls the Service API.
data "aws_cloudformation_stack" "chat" {
  name = "chat-service-prod"
}
resource "aws_iam_role_policy" "chat" {
  role = aws_iam_role.caller.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect = "Allow", Action = "execute-api:Invoke", Resource = "${data.aws_cloudformation_stack.chat.outputs["ServiceApiArn"]}/POST/proxy/users"
  }] })
}
