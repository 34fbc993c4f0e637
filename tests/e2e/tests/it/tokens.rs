//! docs/TOKENS.md: each recipe in its framework, with tokens that it must take and refuse.

mod app;
mod cases;
mod daemon;
mod page;
#[allow(unreachable_pub)]
mod recipe;

use app::{App, Place};
use cases::check;

use crate::example::SECRET;

#[test]
fn each_recipe_has_about_ten_lines() {
    for (name, block) in page::blocks() {
        assert!((1..=12).contains(&block.lines()), "{name}: {} lines", block.lines());
        let longest = block.code.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= 120, "{name}: a line of {longest} characters");
    }
}

/// What the libraries do by default, which is why the recipes say more.
#[tokio::test]
async fn the_table_of_defaults_is_what_the_libraries_do() {
    let modules = "django, fastapi_users, flask_jwt_extended, joserfc, rest_framework_simplejwt";
    let Some(python) = crate::peers::tokens_python(modules) else { return };
    let packages = ["fast-jwt", "hono", "jose", "jsonwebtoken"];
    let Some(node) = crate::peers::tokens_node(&packages) else { return };
    let tokens = cases::of_the_table();
    let mut rows = Vec::new();
    let mut add = |name: &str, taken: &[bool]| {
        let cells: Vec<_> = taken.iter().map(|taken| if *taken { "yes" } else { "no" }).collect();
        rows.push(format!("| {name} | {} |", cells.join(" | ")));
    };
    let dir = app::scripts(Some(&node));
    for (program, script) in
        [(python.as_path(), "defaults.py"), (std::path::Path::new("node"), "defaults.mjs")]
    {
        let said = app::verdicts(program, &dir, script, &tokens).await;
        for (name, taken) in said.as_object().unwrap() {
            let taken: Vec<bool> = serde_json::from_value(taken.clone()).unwrap();
            assert_eq!(taken.len(), tokens.len());
            add(name, &taken);
        }
    }
    let key = jsonwebtoken::DecodingKey::from_secret(SECRET.as_bytes());
    let rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    let takes = |token| jsonwebtoken::decode::<serde_json::Value>(token, &key, &rules).is_ok();
    add("jsonwebtoken (Rust)", &tokens.iter().map(takes).collect::<Vec<_>>());
    let page = page::text();
    let table = page.split("| library |").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut told: Vec<_> = table.lines().skip(2).map(str::to_owned).collect();
    rows.sort();
    told.sort();
    assert_eq!(told, rows, "docs/TOKENS.md (left) and the libraries (right)");
}

#[tokio::test]
async fn pyjwt_in_fastapi() {
    let files = [("agent_token.py", &["pyjwt", "fastapi"][..])];
    let app = App::python("fastapi, jwt, uvicorn", "pyjwt_app.py", &files, Place::Header).await;
    let Some(app) = app else { return };
    check(&app, false).await;
}

#[tokio::test]
async fn joserfc_in_flask() {
    let files = [("agent_token.py", &["joserfc"][..])];
    let app = App::python("flask, joserfc", "joserfc_app.py", &files, Place::Header).await;
    let Some(app) = app else { return };
    check(&app, false).await;
}

const FLASK: [&str; 2] = ["flask-jwt-extended", "flask-jwt-extended-agents"];

#[tokio::test]
async fn flask_jwt_extended() {
    for place in [Place::Header, Place::Bearer] {
        let files = [("agent_token.py", &FLASK[..])];
        let app = App::python("flask_jwt_extended", "flask_agents_app.py", &files, place).await;
        let Some(app) = app else { return };
        check(&app, false).await;
    }
}

#[tokio::test]
async fn flask_jwt_extended_beside_people() {
    let files = [("agent_token.py", &["flask-jwt-extended", "flask-jwt-extended-people"][..])];
    let modules = "flask_jwt_extended";
    let app = App::python(modules, "flask_people_app.py", &files, Place::Bearer).await;
    let Some(app) = app else { return };
    check(&app, true).await;
    person_comes_in_as_before(&app).await;
}

#[tokio::test]
async fn drf_simplejwt() {
    for place in [Place::Header, Place::Bearer] {
        let files = [
            ("agent_token.py", &["simplejwt", "simplejwt-authentication"][..]),
            ("agent_settings.py", &["simplejwt-settings"][..]),
        ];
        let modules = "rest_framework_simplejwt, werkzeug";
        let app = App::python(modules, "simplejwt_app.py", &files, place).await;
        let Some(app) = app else { return };
        check(&app, true).await;
        person_comes_in_as_before(&app).await;
        // The system's token, which names no user of the table, does not close what is open.
        let system = crate::example::token(
            SECRET,
            serde_json::json!({"user_id": "wombat", "agent_role": "system", "sub": "wombat:system"}),
        );
        assert_eq!(app.get("/public", Some(&system)).await.0, 200);
    }
}

#[tokio::test]
async fn fastapi_users() {
    let files = [("agent_token.py", &["pyjwt", "fastapi-users"][..])];
    let modules = "fastapi_users, aiosqlite, uvicorn";
    let app = App::python(modules, "fastapi_users_app.py", &files, Place::Header).await;
    let Some(app) = app else { return };
    check(&app, true).await;
    person_comes_in_as_before(&app).await;
}

async fn person_comes_in_as_before(app: &App) {
    let (status, said) = app.as_person("/me").await;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let expected = serde_json::json!({ "user_id": "7", "role": null });
    assert_eq!((status, said), (200, expected));
    assert_eq!(app.as_person("/users/8").await.0, 404);
}

#[tokio::test]
async fn jsonwebtoken_in_express() {
    let packages = ["jsonwebtoken", "express"];
    let app = App::node(&packages, "express_app.mjs", &["jsonwebtoken"], Place::Header).await;
    let Some(app) = app else { return };
    check(&app, false).await;
}

const TYPED: [&str; 4] = ["jsonwebtoken", "express", "tsx", "typescript"];

#[tokio::test]
async fn jsonwebtoken_in_express_in_typescript() {
    let block = ["jsonwebtoken-typescript"];
    let app = App::node(&TYPED, "express_typed_app.mts", &block, Place::Header).await;
    let Some(app) = app else { return };
    check(&app, false).await;
}

/// With every check that TypeScript's compiler has for it.
#[tokio::test]
async fn the_lines_in_typescript_are_strict() {
    let Some(node) = crate::peers::tokens_node(&TYPED) else { return };
    let dir = app::scripts(Some(&node));
    let put = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    put("agent_token.mts", page::code(&["jsonwebtoken-typescript"]));
    put("beside.mts", page::beside_in_typescript());
    put("serve.d.mts", "export function listening(server: unknown): void\n".to_owned());
    let checks = [
        "--strict",
        "--noUncheckedIndexedAccess",
        "--exactOptionalPropertyTypes",
        "--noPropertyAccessFromIndexSignature",
        "--noImplicitReturns",
        "--noUnusedLocals",
        "--noUnusedParameters",
    ];
    let mut tsc = tokio::process::Command::new(node.join("node_modules/.bin/tsc"));
    tsc.args(["--noEmit", "--module", "nodenext", "--target", "es2022", "--skipLibCheck"]);
    tsc.args(["--allowImportingTsExtensions", "--types", "node"]).args(checks);
    tsc.args(["express_typed_app.mts", "beside.mts"]).current_dir(dir.path());
    let ended = tsc.kill_on_drop(true).output().await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
}

/// The user for whom an agent calls is found by what docs/BESIDE.md has in TypeScript, and no other.
#[tokio::test]
async fn the_lines_in_typescript_find_the_user() {
    let Some(node) = crate::peers::tokens_node(&TYPED) else { return };
    let dir = app::scripts(Some(&node));
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    put("beside.mts", &page::beside_in_typescript());
    put(
        "find.mts",
        "import { userOfAgent } from './beside.mts'\n\
         const tokens = JSON.parse(process.argv[2]!)\n\
         console.log(JSON.stringify(tokens.map((token: string) => userOfAgent(token))))\n",
    );
    let of = |user: &str, secret: &str| {
        let system = user == "wombat";
        let (role, sub) =
            if system { ("system", "wombat:system") } else { ("scout", "wombat:scout") };
        let claims = serde_json::json!({ "user_id": user, "agent_role": role, "sub": sub });
        crate::example::token(secret, claims)
    };
    let tokens = [of("7", SECRET), of("7", &"x".repeat(64)), of("wombat", SECRET), "no".to_owned()];
    let mut run = tokio::process::Command::new("node");
    run.args(["--import", "tsx", "find.mts", &serde_json::to_string(&tokens).unwrap()]);
    run.current_dir(dir.path()).env("AGENT_JWT_SECRET", SECRET).kill_on_drop(true);
    let ended = run.output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(said.trim(), "[7,null,null,null]", "{}", String::from_utf8_lossy(&ended.stderr));
}

#[tokio::test]
async fn jose() {
    let packages = ["jose", "@hono/node-server"];
    let app = App::node(&packages, "jose_app.mjs", &["jose"], Place::Header).await;
    let Some(app) = app else { return };
    check(&app, false).await;
}

#[tokio::test]
async fn fast_jwt_in_fastify() {
    let packages = ["fast-jwt", "fastify"];
    let app = App::node(&packages, "fastify_app.mjs", &["fast-jwt"], Place::Header).await;
    let Some(app) = app else { return };
    check(&app, false).await;
}

#[tokio::test]
async fn express_jwt() {
    for place in [Place::Header, Place::Bearer] {
        let packages = ["express-jwt", "express"];
        let app = App::node(&packages, "express_app.mjs", &["express-jwt"], place).await;
        let Some(app) = app else { return };
        check(&app, false).await;
    }
}

#[tokio::test]
async fn nestjs() {
    let packages = ["@nestjs/jwt", "@nestjs/platform-express", "tsx"];
    let app = App::node(&packages, "nest_app.mts", &["nestjs"], Place::Header).await;
    let Some(app) = app else { return };
    check(&app, false).await;
}

#[tokio::test]
async fn hono() {
    for (recipe, place) in [("hono", Place::Header), ("hono-bearer", Place::Bearer)] {
        let packages = ["hono", "@hono/node-server"];
        let app = App::node(&packages, "hono_app.mjs", &[recipe], place).await;
        let Some(app) = app else { return };
        check(&app, false).await;
    }
}

#[tokio::test]
async fn rust_in_axum() {
    use axum::extract::Path;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    assert_eq!(page::code(&["rust"]), include_str!("tokens/recipe.rs"));
    async fn user(path: Option<Path<String>>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
        let Some(claims) =
            recipe::agent(&headers, &jsonwebtoken::DecodingKey::from_secret(SECRET.as_bytes()))
        else {
            return (StatusCode::UNAUTHORIZED, Json(json!({ "error": "not valid" })));
        };
        if path.is_some_and(|Path(id)| id != claims["user_id"]) {
            return (StatusCode::NOT_FOUND, Json(json!({ "error": "no such user" })));
        }
        let me = json!({ "user_id": claims["user_id"], "role": claims["agent_role"] });
        (StatusCode::OK, Json(me))
    }
    let app = Router::new().route("/me", get(user)).route("/users/{id}", get(user));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    check(&App::here(url), false).await;
}
