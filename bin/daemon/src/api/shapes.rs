//! The documented form of answers that handlers put together from parts of other rooms. Where the generators are
//! installed, `tests/e2e/tests/it/generated.rs` compares sixteen answers with the document.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use crate::tools::SourcesState;

macro_rules! documented {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "describes an answer")]
        $(#[$meta])*
        pub(super) struct $name { $($(#[$field_meta])* $field: $type,)* }
    )*};
}

documented! {
    /// The roles that can be addressed.
    struct AgentsShape {
        /// The roles, in the order of their names.
        agents: Vec<AgentShape>,
    }

    /// A role.
    struct AgentShape {
        /// Its name.
        role: String,
        /// Its session key, with `{userId}` in place of the user.
        session_key_template: String,
        /// The tier of its model: `default`, `cheap` or `best`.
        model_tier: String,
        /// The tools it may call.
        tools: ToolListsShape,
        /// Whether it may call no tool at all; absent when it may.
        #[schema(required = false)]
        allows_nothing: bool,
        /// The file of its persona.
        soul: Option<String>,
    }

    /// The tools that a role may call.
    struct ToolListsShape {
        /// Allowed tools; when empty, all that are declared, unless the role may call none.
        allow: Vec<String>,
        /// Denied tools.
        deny: Vec<String>,
        /// Tools whose calls wait for a person's approval: names, or objects with conditions.
        approval: Vec<Value>,
        /// Tools whose calls may be repeated, because they honour idempotency keys; absent when there are none.
        #[schema(required = false)]
        idempotent: Vec<String>,
        /// Built-in tools that the role has; absent when there are none.
        #[schema(required = false)]
        enable: Vec<String>,
    }

    /// The daemon's version.
    struct VersionShape {
        /// `wombat-daemon`.
        name: String,
        /// The version.
        version: String,
        /// The version of the contract with the backend.
        contract_version: String,
        /// What it can do beyond answering messages.
        features: Vec<String>,
    }

    /// How daemon and backend fit together.
    struct CompatibilityShape {
        /// Whether the backend has all that the daemon needs.
        compatible: bool,
        /// The version of the contract that the daemon speaks.
        contract_version: String,
        /// The backend's, where it says one.
        backend_contract_version: Option<String>,
        /// What the backend offers, by the contract's names of features.
        features: BTreeMap<String, Value>,
        /// What the daemon needs and the backend lacks.
        missing_required: Vec<String>,
        /// What runs have to do without.
        warnings: Vec<String>,
        /// Where people see what there is.
        pages: Option<PagesShape>,
        /// Why nothing is known of the backend.
        error: Option<String>,
        /// The code of that.
        code: Option<String>,
        /// Its details.
        details: Option<BTreeMap<String, Value>>,
    }

    /// The addresses of the backend's pages for people.
    struct PagesShape {
        /// The page of a task, with `{task_id}` and `{user_id}` where its ids go.
        task: Option<String>,
    }

    /// The first-run instructions.
    #[schema(rename_all = "camelCase")]
    struct BootShape {
        /// Whether there are any.
        has_boot: bool,
        /// Whether the first run is completed.
        is_complete: bool,
        /// Their text.
        content: Option<String>,
        /// `ok`, where the first run has just been marked as completed.
        status: Option<String>,
    }

    /// A conversation that was compacted.
    struct CompactedShape {
        /// `ok`.
        status: String,
        /// The turns: a summary, and the newest ones as they were.
        compacted_messages: Vec<TurnShape>,
        /// The tokens of the model's call.
        usage: daemon_api::Usage,
        /// Its price.
        cost: daemon_api::Cost<'static>,
        /// How many turns there were.
        original_count: u64,
        /// How many there are now.
        compacted_count: u64,
    }

    /// A turn of a conversation.
    struct TurnShape {
        /// `system`, `user`, `assistant` or `tool`.
        role: String,
        /// Its text.
        content: String,
    }

    /// What a model made of a task.
    struct LlmTaskShape {
        /// `ok`.
        status: String,
        /// The answer: JSON where a schema was given, or else text.
        output: Value,
        /// The tokens of the model's calls.
        usage: daemon_api::Usage,
        /// Their price.
        cost: daemon_api::Cost<'static>,
        /// Whether the answer fits the schema that was given.
        validated: bool,
        /// The model that answered.
        model: Option<String>,
    }

    /// What the prompt of a role is made of.
    #[schema(rename_all = "camelCase")]
    struct ContextShape {
        /// The role.
        role: String,
        /// All files together, and the prompt.
        totals: ContextTotalsShape,
        /// Each file.
        files: Vec<PromptFileShape>,
        /// The digest of the workspace.
        workspace_digest: String,
        /// The hash of the prompt.
        prompt_hash: String,
        /// The name of the workspace.
        workspace: String,
        /// The digest of the customer's profile; with `user_id` only.
        #[schema(rename = "profile_digest")]
        profile_digest: Option<String>,
        /// The customer's tenant; with `user_id` only.
        tenant_id: Option<String>,
        /// The customer's language; with `user_id` only.
        locale: Option<String>,
        /// How long the customer's section of the prompt is; with `user_id` only.
        prompt_append_chars: Option<u64>,
        /// The prompt; with `full` only.
        system_prompt: Option<String>,
    }

    /// Sizes of the files of a prompt.
    #[schema(rename_all = "camelCase")]
    struct ContextTotalsShape {
        /// The characters of the files.
        raw_chars: u64,
        /// Those that the prompt contains.
        injected_chars: u64,
        /// Estimated tokens of those.
        estimated_tokens: u64,
        /// The characters of the prompt.
        prompt_chars: u64,
        /// Estimated tokens of the prompt.
        prompt_estimated_tokens: u64,
    }

    /// A file of a prompt.
    #[schema(rename_all = "camelCase")]
    struct PromptFileShape {
        /// The file, within the workspace.
        name: String,
        /// Whether it exists.
        exists: bool,
        /// Its length in characters.
        raw_chars: u64,
        /// The characters that the prompt contains.
        injected_chars: u64,
        /// Whether it was cut.
        truncated: bool,
        /// Estimated tokens of what the prompt contains.
        estimated_tokens: u64,
    }

    /// The skills of the workspace.
    struct SkillsShape {
        /// How many are enabled.
        enabled: u64,
        /// How many there are.
        total: u64,
        /// Each of them.
        skills: Vec<SkillShape>,
    }

    /// A skill.
    #[schema(rename_all = "camelCase")]
    struct SkillShape {
        /// Its name.
        name: String,
        /// Its description, for the model.
        description: String,
        /// Whether it is enabled.
        enabled: bool,
        /// Why it is disabled.
        gate_reason: Option<String>,
        /// Its file, within the workspace.
        location: String,
        /// `metadata` of its front matter.
        metadata: Value,
        /// The endpoints that it declares.
        endpoints: Vec<String>,
        /// Deviations from the standard; absent when there are none.
        #[schema(required = false)]
        warnings: Vec<String>,
    }

    /// That the process answers, or is ready.
    struct AliveShape {
        /// `ok`.
        status: String,
    }

    /// The status, and with the daemon key the health of each part.
    struct HealthShape {
        /// `ok` or `degraded`.
        status: String,
        /// The workspace.
        workspace: Option<WorkspaceHealthShape>,
        /// Its skills.
        skills: Option<SkillCountsShape>,
        /// The application.
        backend: Option<BackendHealthShape>,
        /// The control plane; the same unless it has an address of its own.
        control_plane: Option<BackendHealthShape>,
        /// The default model.
        llm: Option<ModelHealthShape>,
        /// The sources of tools, and what models' providers take of them.
        tools: Option<SourcesState>,
        /// The rules of time zones that are in use.
        tzdata: Option<ZonesShape>,
        /// Settings.
        config: Option<ConfigShape>,
    }

    /// How the workspace is.
    #[schema(rename_all = "camelCase")]
    struct WorkspaceHealthShape {
        /// Its folder.
        path: String,
        /// `ok`, `degraded` or `missing`.
        status: String,
        /// `ok`, `last_good` or `no_runs`.
        policy: String,
        /// Whether the first run is completed.
        boot_complete: bool,
        /// What does not work.
        problems: Vec<ProblemShape>,
    }

    /// Something in the workspace that does not work.
    struct ProblemShape {
        /// The file, within the workspace.
        file: String,
        /// The line, from 1.
        line: Option<u64>,
        /// What is wrong.
        reason: String,
        /// For a file of rules: what that means for runs.
        policy: Option<String>,
    }

    /// How many skills there are.
    struct SkillCountsShape {
        /// Those that are enabled.
        enabled: u64,
        /// All of them.
        total: u64,
    }

    /// How a backend is.
    struct BackendHealthShape {
        /// Its address.
        url: String,
        /// `ok`, `error` or `unchecked`.
        status: String,
    }

    /// The default model.
    struct ModelHealthShape {
        /// Its provider.
        provider: String,
        /// Its name.
        model: String,
        /// Whether it can be called.
        configured: bool,
    }

    /// The rules of time zones.
    struct ZonesShape {
        /// Where they come from.
        source: String,
        /// Their release.
        release: String,
    }

    /// Settings.
    #[schema(rename_all = "camelCase")]
    struct ConfigShape {
        /// The port.
        port: u16,
        /// The task of messages that name none.
        default_task: Option<String>,
    }
}
