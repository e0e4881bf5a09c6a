"""`/v1/chat/completions` and `/v1/responses`: an agent as a model of OpenAI's two APIs."""
