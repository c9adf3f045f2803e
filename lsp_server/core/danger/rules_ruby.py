"""Dangerous patterns in Ruby, and what to write instead."""

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

_QUERIES = (
    r".*\.(?:where|find_by_sql|having|joins|order|exists\?|delete_all|update_all|select_all|execute|count_by_sql)"
)

RULES = Rules(
    safe={
        "sql": 'pass the values apart: where("name = ?", name)',
        "shell": 'pass the program and its arguments one by one: system("ls", dir)',
        "code": "choose among methods that are known, with public_send and a list of them",
        "deserialise": "use JSON.parse or YAML.safe_load",
        "tls": "leave verify_mode at VERIFY_PEER; give the CA's file as ca_file",
        "hash": "use bcrypt: BCrypt::Password.create(password)",
        "credential": 'read it from the environment or the credentials file: ENV.fetch("NAME")',
        "path": "use File.basename, or File.expand_path and a check that it begins with the folder",
        "html": "leave the escaping on, or use sanitize",
        "temporary": "use Tempfile.create",
        "xml": "leave NOENT and DTDLOAD off",
        "random": "use SecureRandom",
    },
    patterns=(
        SQL,
        HTML_TEXT,
        *CREDENTIALS,
        Pattern("sql", "call", _QUERIES, arg=0, value="built", like=r"(?i)(?:[=<>]|\blike|\bin\s*\()\s*'?%*\0"),
        Pattern(
            "shell", "call", r"(?:Kernel\.)?(?:system|exec|spawn|`)|IO\.popen|Open3\.\w+", arg=0, value="risky", count=1
        ),
        Pattern("code", "call", r"(?:Kernel\.|binding\.)?eval", arg=0, value="dynamic"),
        Pattern(
            "code",
            "call",
            r".*\.(?:instance_eval|class_eval|module_eval|send|public_send|constantize)",
            arg=0,
            value="tainted",
        ),
        Pattern("code", "call", r".*\bparams\[.*\]\.constantize|.*\bparams\[.*\]\.classify\(\)\.constantize"),
        Pattern("deserialise", "call", r"Marshal\.(?:load|restore)"),
        Pattern(
            "deserialise",
            "call",
            r"(?:YAML|Psych)\.(?:load|unsafe_load|load_documents)",
            lacks=r"permitted_classes|safe:\s*true",
        ),
        Pattern("tls", "set", r"verify_mode|ssl_verify_mode", value="any", like=r"VERIFY_NONE"),
        Pattern("tls", "set", r"verify|verify_ssl|ssl_verify", value="any", like=r"^(?:false|.*VERIFY_NONE)$"),
        Pattern("hash", "call", r"(?:OpenSSL\.)?Digest\.\w+\.\w+", arg=0, value="any", like=PASSWORD_NAME),
        Pattern(
            "path",
            "call",
            r"File\.(?!basename|extname|expand_path)\w+|IO\.\w+|send_file|Pathname\.new|Dir\.\w+|FileUtils\.\w+|Rails\.root\.join|Rails\.\w+\(\)\.join",
            arg=ANY,
            value="tainted",
        ),
        Pattern("html", "call", r"raw|render_inline", arg=0, value="risky"),
        Pattern("html", "call", r".*\.html_safe", has=r"#\{[^}]*\}|params\["),
        Pattern(
            "temporary",
            "call",
            r"File\.(?:open|write|new)|IO\.write",
            arg=0,
            value="text",
            like=TEMPORARY_TEXT,
            lacks=r"[\"']r[\"']",
        ),
        Pattern("xml", "call", r".*Nokogiri\.XML.*", has=r"NOENT|\.noent|DTDLOAD|\.dtdload"),
        Pattern(
            "random",
            "call",
            r"(?:Kernel\.|Random\.)?(?:rand|srand)|Random\.new\(\)\.\w+|.*\.(?:sample|shuffle)",
            near=SECRET_NAME,
        ),
    ),
    sources=r"\bparams\[|\bparams\.(?:fetch|require|dig|permit)|\brequest\.(?:params|headers|query_string|GET|POST)|\bcookies\[",
    clean=r"\.pid\b|Shellwords|shellescape|sanitize|File\.basename|\.to_i\b|\.to_f\b|h\(|ERB::Util|connection\.quote",
)
