//! Pages without anybody's data: the login, and errors.

use std::fmt::Write as _;

use super::guard::LOGIN;
use super::markup::place::at;
use super::markup::{Esc, page, post};

/// Asks for the password.
pub(super) fn login() -> String {
    page("Mission Control", |out| {
        out.push_str("<main><h1>Mission Control</h1>\n");
        post(out, LOGIN)?;
        out.push_str(
            "<p><label for=\"password\">Password</label> \
             <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required autofocus></p>\n\
             <p><button>Log in</button></p></form></main>\n",
        );
        Ok(())
    })
}

/// An error as a page.
pub(super) fn failure(why: &str) -> String {
    page("Mission Control", |out| {
        writeln!(
            out,
            "<main><h1>That did not work</h1><p>{}</p><p><a href=\"{}\">Back</a></p></main>",
            Esc(why),
            at("/")
        )
    })
}
