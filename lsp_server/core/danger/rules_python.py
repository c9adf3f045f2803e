"""Dangerous patterns in Python, and what to write instead."""

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

_REQUEST = r"(?:requests|session|httpx|client|self\.session|s|http|aiohttp)"
_OPENS = (
    r"open|io\.open|codecs\.open|os\.path\.join|Path|pathlib\.Path|os\.(?:remove|unlink|open|rmdir)|send_file|FileResponse"
    r"|flask\.send_file|shutil\.(?:copy\w*|move|rmtree)|(?:\w+\.)*joinpath"
)

RULES = Rules(
    safe={
        "sql": 'pass the values as parameters: execute("... WHERE id = ?", (id,))',
        "shell": 'pass a list without a shell: subprocess.run(["rm", path])',
        "code": "use ast.literal_eval for values, or a dict of the functions that may be called",
        "deserialise": "use json, yaml.safe_load, or torch.load(..., weights_only=True)",
        "tls": "leave the check on; give the CA's file with verify=PATH or cafile=PATH",
        "hash": "use hashlib.scrypt, argon2 or bcrypt with a salt of its own",
        "credential": 'read it from the environment or a secret store: os.environ["NAME"]',
        "path": "resolve the path and check is_relative_to(folder), or use secure_filename",
        "html": "use a template that escapes, or html.escape",
        "temporary": "use tempfile.NamedTemporaryFile or tempfile.mkstemp",
        "xml": "leave resolve_entities off, or use defusedxml",
        "random": "use the secrets module",
    },
    patterns=(
        SQL,
        HTML_TEXT,
        *CREDENTIALS,
        Pattern(
            "credential",
            "call",
            r"(?:.*\.)?(?:connect|Connection|login|create_engine|authenticate)",
            key="password",
            value="const",
            like=r"^[^\s<>{}]+$",
            unlike=r"(?i)^[<{$]|your|example|xxx|\*\*",
        ),
        Pattern(
            "shell", "call", r"os\.(?:system|popen)|(?:subprocess|commands)\.get(?:status)?output", arg=0, value="risky"
        ),
        Pattern(
            "shell",
            "call",
            r"(?:subprocess\.)?(?:run|call|Popen|check_output|check_call)",
            arg=0,
            value="risky",
            has=r"\bshell\s*=\s*True\b",
        ),
        Pattern("shell", "call", r"asyncio\.create_subprocess_shell", arg=0, value="risky"),
        Pattern(
            "code",
            "call",
            r"(?:builtins\.)?(?:eval|exec)",
            arg=0,
            value="dynamic",
            lacks=r"^[\w.]+\(\s*(?:\w*compiled?\w*|co|byte_?code|code_obj\w*|[\w.]+_code)\b",
        ),
        Pattern("deserialise", "call", r"(?:c?[pP]ickle|_pickle|dill|cloudpickle|marshal)\.(?:loads?|Unpickler)"),
        Pattern(
            "deserialise",
            "call",
            r"(?:pd|pandas)\.read_pickle|jsonpickle\.decode|yaml\.(?:unsafe_load|unsafe_load_all)",
        ),
        Pattern("deserialise", "call", r"yaml\.load(?:_all)?", lacks=r"Safe\w*Loader|BaseLoader"),
        Pattern("deserialise", "call", r"torch\.load", lacks=r"weights_only\s*=\s*True"),
        Pattern("deserialise", "call", r"np\.load|numpy\.load", has=r"allow_pickle\s*=\s*True"),
        Pattern(
            "deserialise",
            "call",
            r"loads?|Unpickler",
            arg=0,
            file=r"(?m)^\s*from (?:c?[pP]ickle|dill|marshal) import\b[^\n]*\b(?:loads?|Unpickler)\b",
        ),
        Pattern(
            "tls",
            "call",
            rf"{_REQUEST}\.\w+|(?:requests|httpx)\.\w+\(\)\.\w+",
            key="verify",
            value="any",
            like=r"^False$",
        ),
        Pattern("tls", "call", r"(?:httpx\.)?(?:Async)?Client", key="verify", value="any", like=r"^False$"),
        Pattern("tls", "set", r"(?<=\.)verify", value="any", like=r"^False$", file=r"\brequests\b"),
        Pattern("tls", "call", r"ssl\._create_(?:unverified|stdlib)_context"),
        Pattern("tls", "set", r"check_hostname", value="any", like=r"^False$"),
        Pattern("tls", "set", r"verify_mode|cert_reqs", value="any", like=r"CERT_NONE"),
        Pattern("tls", "call", r".*set_missing_host_key_policy", has=r"AutoAddPolicy|WarningPolicy"),
        Pattern(
            "hash",
            "call",
            r"(?:hashlib\.)?(?:md5|sha1|sha224|sha256|sha512|sha384)",
            arg=0,
            value="any",
            like=PASSWORD_NAME,
        ),
        Pattern("hash", "call", r"hashlib\.(?:md5|sha1|sha224|sha256|sha512|sha384)", near=PASSWORD_NAME),
        Pattern("hash", "call", r"hashlib\.new", arg=1, value="any", like=PASSWORD_NAME),
        Pattern("path", "call", _OPENS, arg=ANY, value="tainted"),
        Pattern("path", "call", r"\w+\.save", arg=0, value="tainted"),
        Pattern("html", "call", r"(?:\w+\.)*(?:Markup|mark_safe|render_template_string)", arg=0, value="risky"),
        Pattern("temporary", "call", r"(?:tempfile\.)?mktemp|os\.(?:tmpnam|tempnam)"),
        Pattern(
            "temporary", "call", r"open", arg=0, like=TEMPORARY_TEXT, value="text", has=r"[\"'][rb+]*[wax][b+t]*[\"']"
        ),
        Pattern("xml", "call", r"(?:lxml\.)?(?:etree\.)?XMLParser", has=r"(?:resolve_entities|load_dtd)\s*=\s*True"),
        Pattern("xml", "call", r".*setFeature", has=r"feature_external_[gp]es,\s*(?:True|1)"),
        Pattern("random", "call", r"random\.\w+", near=SECRET_NAME, lacks=r"SystemRandom"),
    ),
    sources=r"\brequest\.(?:args|form|values|GET|POST|files|json|cookies|headers|data|query_params|params|path_params"
    r"|FILES|get_json|query)\b|\bself\.get_(?:query_)?argument\(|\bflask\.request\.\w+|\binput\(",
    clean=r"safe_join|\.stem\b|\.resolve\(\)|secrets\.",
)
