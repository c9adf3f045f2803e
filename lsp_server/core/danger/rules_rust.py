"""Dangerous patterns in Rust, and what to write instead."""

from __future__ import annotations

from lsp_server.core.danger.rule import (
    ANY,
    CREDENTIALS,
    HTML_TEXT,
    PASSWORD_NAME,
    SECRET_NAME,
    SQL,
    TEMPORARY_TEXT,
    Pattern,
    Rules,
)

RULES = Rules(
    safe={
        "sql": 'bind the values: query("... WHERE id = $1").bind(id)',
        "shell": 'call the program itself: Command::new("ls").arg(dir)',
        "tls": "leave the check on; add the CA's certificate",
        "hash": "use argon2, bcrypt or scrypt with a salt of its own",
        "credential": 'read it from the environment or a secret store: std::env::var("NAME")',
        "path": "canonicalize the path and check starts_with(folder)",
        "html": "use a template that escapes",
        "copy": "use slices and copy_from_slice, whose sizes are checked",
        "temporary": "use the tempfile crate",
        "random": "use OsRng or getrandom",
    },
    patterns=(
        SQL,
        HTML_TEXT,
        *CREDENTIALS,
        Pattern(
            "shell",
            "call",
            r".*\.args?",
            arg=0,
            value="risky",
            has=r"Command::new\(\s*\"(?:/bin/)?(?:ba|z|da)?sh\"|Command::new\(\s*\"cmd",
        ),
        Pattern("shell", "call", r"(?:\w+\.)*Command\.new", arg=0, value="tainted"),
        Pattern("tls", "call", r".*\.danger_accept_invalid_(?:certs|hostnames)", arg=0, value="any", like=r"^true$"),
        Pattern("tls", "call", r".*\.set_verify(?:_callback)?", has=r"SslVerifyMode::NONE"),
        Pattern(
            "hash",
            "call",
            r"(?:\w+\.)*(?:md5\.compute|(?:Md5|Sha1|Sha224|Sha256|Sha384|Sha512)\.digest)",
            arg=0,
            value="any",
            like=PASSWORD_NAME,
        ),
        Pattern("hash", "call", r"\w*hash\w*\.update", arg=0, value="any", like=PASSWORD_NAME),
        Pattern(
            "path",
            "call",
            r"(?:\w+\.)*(?:File\.(?:open|create)|fs\.\w+|Path\.new|PathBuf\.from|NamedFile\.open\w*)|.*\.join",
            arg=ANY,
            value="tainted",
        ),
        Pattern("html", "call", r"(?:\w+\.)*(?:PreEscaped|Html)", arg=0, value="tainted"),
        Pattern("copy", "call", r"(?:\w+\.)*(?:strcpy|strcat|sprintf|gets)", file=r"\blibc\b|extern \"C\""),
        Pattern(
            "temporary",
            "call",
            r"(?:\w+\.)*(?:File\.create|fs\.write)",
            arg=0,
            value="text",
            like=TEMPORARY_TEXT,
        ),
        Pattern(
            "random",
            "call",
            r"(?:\w+\.)*(?:SmallRng|StdRng)\.(?:seed_from_u64|from_seed)|fastrand\.\w+",
            near=SECRET_NAME,
        ),
    ),
    sources=r"\b(?:query|params|form|req|request)\.(?:get|param|query|query_string|match_info|headers|into_inner|0)\b"
    r"|\bquery\.\w+|\bparams\.\w+|\bform\.\w+",
    clean=r"\.file_name\(\)|encode_text|escape_html|canonicalize",
)
