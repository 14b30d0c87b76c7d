"""The names of spans' attributes: OpenTelemetry's for generative AI, OpenInference's, and our own.

Sources: OpenTelemetry semantic conventions for generative AI (development status), OpenInference semantic conventions.
"""

from __future__ import annotations

# OpenTelemetry: what is done, by whom, with what

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
CONVERSATION = "gen_ai.conversation.id"
WORKFLOW = "gen_ai.workflow.name"
AGENT = "gen_ai.agent.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
TEMPERATURE = "gen_ai.request.temperature"
MAX_TOKENS = "gen_ai.request.max_tokens"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
ERROR_TYPE = "error.type"

INVOKE_WORKFLOW = "invoke_workflow"
INVOKE_AGENT = "invoke_agent"
CHAT = "chat"
EXECUTE_TOOL = "execute_tool"
SEARCH_MEMORY = "search_memory"

# OpenInference

KIND = "openinference.span.kind"
SESSION = "session.id"
INPUT = "input.value"
INPUT_TYPE = "input.mime_type"
OUTPUT = "output.value"
OUTPUT_TYPE = "output.mime_type"
MODEL_NAME = "llm.model_name"
PROMPT_TOKENS = "llm.token_count.prompt"
COMPLETION_TOKENS = "llm.token_count.completion"
TOTAL_TOKENS = "llm.token_count.total"
PROMPT_CACHED = "llm.token_count.prompt_details.cache_read"
COST = "llm.cost.total"
TOOL_NAME = "tool.name"
DOCUMENT = "retrieval.documents.{i}.document.{what}"

CHAIN_KIND, AGENT_KIND, LLM_KIND = "CHAIN", "AGENT", "LLM"
TOOL_KIND, RETRIEVER_KIND, GUARDRAIL_KIND = "TOOL", "RETRIEVER", "GUARDRAIL"

# Our own

RUN = "crewkit.run"
PATH = "crewkit.path"
TASK = "crewkit.task"
STATUS = "crewkit.status"
VERDICT = "crewkit.verdict"
WHY = "crewkit.why"
DECISION = "crewkit.approval.decision"
DECIDED_BY = "crewkit.approval.by"
EFFECTS = "crewkit.tool.effects"
