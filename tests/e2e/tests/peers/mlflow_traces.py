"""Prints what MLflow's own client finds of the traces of the first experiment, as JSON."""

import json

from mlflow import MlflowClient


def span(found):
    get = found.get_attribute
    return {
        "name": found.name,
        "type": found.span_type,
        "status": found.status.status_code.value,
        "model": get("mlflow.llm.model"),
        "tokens": get("mlflow.chat.tokenUsage"),
        "cost": get("mlflow.llm.cost"),
        "tools": get("mlflow.chat.tools"),
        "inputs": found.inputs,
        "outputs": found.outputs,
    }


def trace(found):
    info = found.info
    return {
        "state": info.state.value,
        "user": info.trace_metadata.get("mlflow.trace.user"),
        "session": info.trace_metadata.get("mlflow.trace.session"),
        "tokens": info.token_usage,
        "cost": info.cost,
        "request": info.request_preview,
        "response": info.response_preview,
        "spans": [span(one) for one in sorted(found.data.spans, key=lambda one: one.start_time_ns)],
    }


found = MlflowClient().search_traces(locations=["0"], max_results=100)
print(json.dumps({one.info.trace_id: trace(one) for one in found}))
