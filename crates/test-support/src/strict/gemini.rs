//! Gemini's `generateContent`: parameters and turns.

use serde_json::Value;

use super::limits::output_limit;
use super::view::{list, text, unknown_field};
use super::{Call, Profile, Rule};

pub(super) const ALL: &[Profile] = &[Profile::Gemini];
pub(super) const SPEC: &str = "https://ai.google.dev/api/generate-content";
const CALLING: &str = "https://ai.google.dev/api/caching#ToolConfig";
const SIGNATURES: &str = "https://ai.google.dev/gemini-api/docs/thought-signatures";
/// Stands for the signature of a call that another model made.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

const FIELDS: &[&str] = &[
    "contents",
    "tools",
    "toolConfig",
    "safetySettings",
    "systemInstruction",
    "generationConfig",
    "cachedContent",
    "model",
    "serviceTier",
    "store",
];
const CONFIG: &[&str] = &[
    "stopSequences",
    "responseMimeType",
    "responseSchema",
    "_responseJsonSchema",
    "responseJsonSchema",
    "responseModalities",
    "candidateCount",
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "responseLogprobs",
    "logprobs",
    "enableEnhancedCivicAnswers",
    "speechConfig",
    "thinkingConfig",
    "imageConfig",
    "mediaResolution",
];
/// What a part may hold.
const DATA: &[&str] = &[
    "text",
    "inlineData",
    "functionCall",
    "functionResponse",
    "fileData",
    "executableCode",
    "codeExecutionResult",
];

fn contents<'a>(call: &Call<'a>) -> &'a [Value] {
    list(call.body, "/contents")
}

/// The parts of a kind in a turn.
fn of<'a>(turn: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    list(turn, "/parts").iter().filter_map(move |part| part.get(kind))
}

fn has(turn: &Value, kind: &str) -> bool {
    of(turn, kind).next().is_some()
}

/// The first complaint about a turn.
fn each<'a>(
    call: &Call<'a>,
    complaint: impl Fn(usize, &'a Value) -> Option<String>,
) -> Option<String> {
    contents(call).iter().enumerate().find_map(|(n, turn)| complaint(n, turn))
}

/// Whether a part holds nothing: an empty text is as good as none in this protocol.
fn is_empty(part: &Value) -> bool {
    let held = DATA.iter().find_map(|kind| part.get(kind));
    let thought = part.get("thoughtSignature").is_some();
    held.is_none_or(|held| held == "" && !thought)
}

pub(super) const RULES: &[Rule] = &[
    Rule::new("the path names a model and a method", ALL, SPEC, |call| {
        let path = call.path.split('?').next().unwrap_or_default();
        let (models, method) = path.rsplit_once(':').unwrap_or_default();
        let known = ["generateContent", "streamGenerateContent"].contains(&method);
        let named = ["/models/", "/tunedModels/"].iter().any(|folder| models.contains(folder));
        (!known || !named || call.model().is_empty()).then(|| "Requested entity was not found.".into())
    })
    .status(404),
    Rule::new("gemini: there is a key", ALL, "https://ai.google.dev/gemini-api/docs/api-key", |call| {
        let none = call.header("x-goog-api-key").is_empty() && !call.path.contains("key=");
        (call.needs_key && none).then(|| "Method doesn't allow unregistered callers (callers without established identity).".into())
    })
    .status(403),
    Rule::new("a stream is one of events", ALL, SPEC, |call| {
        let streams = call.path.contains(":streamGenerateContent");
        (streams && !call.path.contains("alt=sse")).then(|| "the answer would be a JSON list, not a stream of events".into())
    }),
    Rule::new("gemini: only fields of the API", ALL, SPEC, |call| {
        unknown_field(call.body, FIELDS).map(|name| format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."))
    }),
    Rule::new("gemini: only fields of the configuration", ALL, SPEC, |call| {
        let name = unknown_field(call.body.get("generationConfig")?, CONFIG)?;
        Some(format!("Invalid JSON payload received. Unknown name \"{name}\" at 'generation_config': Cannot find field."))
    }),
    Rule::new("there are contents", ALL, SPEC, |call| {
        contents(call).is_empty().then(|| "* GenerateContentRequest.contents: contents is not specified".into())
    }),
    Rule::new("roles are user and model", ALL, SPEC, |call| {
        each(call, |_, turn| {
            let role = text(turn, "/role");
            (!["user", "model"].contains(&role)).then(|| "Please use a valid role: user, model.".into())
        })
    }),
    Rule::new("a turn has parts", ALL, "https://github.com/RooCodeInc/Roo-Code/pull/10728", |call| {
        each(call, |n, turn| {
            list(turn, "/parts").is_empty().then(|| format!("* GenerateContentRequest.contents[{n}].parts: contents.parts must not be empty."))
        })
    }),
    Rule::new("a part holds something", ALL, "https://github.com/router-for-me/CLIProxyAPI/issues/3485", |call| {
        each(call, |n, turn| {
            let empty = list(turn, "/parts").iter().position(is_empty)?;
            Some(format!("* GenerateContentRequest.contents[{n}].parts[{empty}].data: required oneof field 'data' must have one initialized field"))
        })
    }),
    Rule::new("a part holds one thing", ALL, SPEC, |call| {
        each(call, |n, turn| {
            let both = list(turn, "/parts").iter().any(|part| DATA.iter().filter(|kind| part.get(kind).is_some()).count() > 1);
            both.then(|| format!("Invalid value at 'contents[{n}].parts': oneof field 'data' is already set."))
        })
    }),
    Rule::new("the system instruction holds something", ALL, "https://github.com/songquanpeng/one-api/issues/2243", |call| {
        let given = call.body.get("systemInstruction")?;
        let parts = list(given, "/parts");
        (parts.is_empty() || parts.iter().any(is_empty)).then(|| "* GenerateContentRequest.system_instruction.parts[0].data: required oneof field 'data' must have one initialized field".into())
    }),
    Rule::new("gemini: the first turn is the user's", ALL, "https://ai.google.dev/gemini-api/docs/text-generation", |call| {
        let first = contents(call).first()?;
        (first["role"] != "user").then(|| "Please ensure that multiturn requests alternate between user and model and begin with a user turn.".into())
    }),
    Rule::new("gemini: the last turn is the user's", ALL, "https://ai.google.dev/gemini-api/docs/text-generation", |call| {
        let last = contents(call).last()?;
        (last["role"] != "user").then(|| "Please ensure that multiturn requests end with a user role or a function response.".into())
    }),
    Rule::new("calls come behind a user or a response", ALL, "https://discuss.ai.google.dev/t/about-the-gemini-api-400-please-ensure-that-function-call-turns-come-immediately-after-a-user-turn-or-after-a-function-response-turn-error/46213", |call| {
        each(call, |n, turn| {
            let before = n.checked_sub(1).map(|n| &contents(call)[n]);
            let fits = before.is_some_and(|before| before["role"] == "user");
            (has(turn, "functionCall") && !fits).then(|| "Please ensure that function call turn comes immediately after a user turn or after a function response turn.".into())
        })
    }),
    Rule::new("responses come directly behind calls", ALL, "https://github.com/google-gemini/gemini-cli/pull/26691", |call| {
        each(call, |n, turn| {
            let before = n.checked_sub(1).map(|n| &contents(call)[n]);
            let fits = before.is_some_and(|before| has(before, "functionCall"));
            (has(turn, "functionResponse") && !fits).then(|| "Please ensure that function response turn comes immediately after a function call turn.".into())
        })
    }),
    Rule::new("as many responses as calls", ALL, "https://github.com/microsoft/semantic-kernel/issues/12528", |call| {
        each(call, |n, turn| {
            let asked = of(turn, "functionCall").count();
            let given = contents(call).get(n + 1).map_or(0, |next| of(next, "functionResponse").count());
            (asked != given).then(|| "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.".into())
        })
    }),
    Rule::new("responses have the names of the calls", ALL, "https://ai.google.dev/gemini-api/docs/function-calling", |call| {
        each(call, |n, turn| {
            let next = contents(call).get(n + 1)?;
            let mut names: Vec<_> = of(turn, "functionCall").map(|one| text(one, "/name")).collect();
            let mut given: Vec<_> = of(next, "functionResponse").map(|one| text(one, "/name")).collect();
            names.sort_unstable();
            given.sort_unstable();
            (names != given).then(|| "Please ensure that the names of function responses match the function calls.".into())
        })
    }),
    Rule::new("arguments of calls are objects", ALL, SPEC, |call| {
        each(call, |n, turn| {
            let odd = of(turn, "functionCall").any(|one| one.get("args").is_some_and(|args| !args.is_object()));
            odd.then(|| format!("Invalid value at 'contents[{n}].parts.function_call.args' (type.googleapis.com/google.protobuf.Struct)"))
        })
    }),
    Rule::new("gemini: names of calls fit", ALL, "https://github.com/google-gemini/gemini-cli/issues/9535", |call| {
        each(call, |n, turn| {
            let mut all = of(turn, "functionCall").chain(of(turn, "functionResponse"));
            let odd = all.find(|one| !super::gemini_schema::is_function(text(one, "/name")))?;
            Some(format!("* GenerateContentRequest.contents[{n}].parts.function_call.name: Invalid function name '{}'.", text(odd, "/name")))
        })
    }),
    Rule::new("a response is an object", ALL, "https://discuss.ai.google.dev/t/model-cannot-focus-on-most-recent-user-request-when-function-calling/62884/9", |call| {
        each(call, |n, turn| {
            let odd = of(turn, "functionResponse").any(|one| !one["response"].is_object());
            odd.then(|| format!("Invalid value at 'contents[{n}].parts.function_response.response' (type.googleapis.com/google.protobuf.Struct)"))
        })
    }),
    Rule::new("calls of the current turn have their signature", ALL, "https://github.com/mpfaffenberger/code_puppy/issues/165", |call| {
        let written = contents(call).iter().rposition(|turn| turn["role"] == "user" && has(turn, "text"));
        let begins = written.map_or(0, |n| n + 1);
        let wants = !["gemini-1", "gemini-2"].iter().any(|old| call.model().starts_with(old));
        each(call, |n, turn| {
            let first = list(turn, "/parts").iter().find(|part| part.get("functionCall").is_some())?;
            let bare = text(first, "/thoughtSignature").is_empty();
            (wants && n >= begins && bare).then(|| format!("Function call is missing a thought_signature in functionCall parts. Additional data, function call `default_api:{}`, position {n}.", text(first, "/functionCall/name")))
        })
    }),
    Rule::new("signatures come back as they were sent", ALL, SIGNATURES, |call| {
        let sent: Vec<&Value> = call.sent.iter().flat_map(|turn| list(turn, "/parts")).filter_map(|part| part.get("thoughtSignature")).collect();
        each(call, |n, turn| {
            let mut given = list(turn, "/parts").iter().filter_map(|part| part.get("thoughtSignature"));
            let odd = given.any(|signature| signature != NO_SIGNATURE && !sent.contains(&signature));
            odd.then(|| format!("Thought signature is not valid at contents[{n}]."))
        })
    }),
    Rule::new("a signature that was sent is not lost", ALL, "https://github.com/rowboatlabs/rowboat/issues/694", |call| {
        let all: Vec<&Value> = contents(call).iter().flat_map(|turn| list(turn, "/parts")).collect();
        let lost = call.sent.last().into_iter().flat_map(|turn| list(turn, "/parts")).find(|part| {
            let back = |other: &&Value| other["functionCall"]["name"] == part["functionCall"]["name"] && other["functionCall"]["args"] == part["functionCall"]["args"];
            part.get("functionCall").is_some() && part.get("thoughtSignature").is_some()
                && all.iter().copied().any(|other| back(&other))
                && !all.iter().any(|other| back(other) && other["thoughtSignature"] == part["thoughtSignature"])
        })?;
        Some(format!("Function call is missing a thought_signature in functionCall parts: {}", text(lost, "/functionCall/name")))
    }),
    Rule::new("gemini: the limit is within the model's own", ALL, "https://ai.google.dev/gemini-api/docs/models", |call| {
        let given = call.body.pointer("/generationConfig/maxOutputTokens")?;
        let most = output_limit(call.profile, call.model()).unwrap_or(i32::MAX as u64);
        let fits = given.as_u64().is_some_and(|given| (1..=most).contains(&given));
        (!fits).then(|| format!("Unable to submit request because it has a maxOutputTokens value of {given} but the supported range is from 1 (inclusive) to {} (exclusive).", most + 1))
    }),
    Rule::new("gemini: the temperature is 0 to 2", ALL, SPEC, |call| {
        let given = call.body.pointer("/generationConfig/temperature")?;
        let fits = given.as_f64().is_some_and(|t| (0.0..=2.0).contains(&t));
        (!fits).then(|| "* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0].".into())
    }),
    Rule::new("a choice of functions is a known mode", ALL, CALLING, |call| {
        let mode = text(call.body.pointer("/toolConfig/functionCallingConfig")?, "/mode");
        (!["AUTO", "ANY", "NONE", "VALIDATED"].contains(&mode)).then(|| format!("Invalid value at 'tool_config.function_calling_config.mode': \"{mode}\""))
    }),
    Rule::new("a choice of functions needs functions", ALL, "https://github.com/laravel/ai/pull/490", |call| {
        let alone = call.body.pointer("/toolConfig/functionCallingConfig").is_some() && call.tools().is_empty();
        alone.then(|| "Function calling config is set without function_declarations.".into())
    }),
    Rule::new("allowed functions only where one must be called", ALL, CALLING, |call| {
        let config = call.body.pointer("/toolConfig/functionCallingConfig")?;
        let named = config.get("allowedFunctionNames").is_some() && config["mode"] != "ANY";
        named.then(|| "Allowed function names should only be set when the function calling mode is ANY.".into())
    }),
];
