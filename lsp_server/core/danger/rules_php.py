"""Dangerous patterns in PHP, and what to write instead."""

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

_INCLUDES = r"include|include_once|require|require_once"

RULES = Rules(
    safe={
        "sql": 'prepare the statement and bind the values: $db->prepare("... WHERE id = ?")',
        "shell": "put escapeshellarg around each value, or use proc_open with a list",
        "code": "do not run text; choose among functions that are known",
        "deserialise": "use json_decode, or unserialize with allowed_classes false",
        "tls": "leave the check on; give the CA's file as CURLOPT_CAINFO",
        "hash": "use password_hash and password_verify",
        "credential": 'read it from the environment or a secret store: getenv("NAME")',
        "path": "use basename, or realpath and a check that it begins with the folder",
        "html": "use htmlspecialchars, or a template that escapes",
        "format": 'give a fixed format: printf("%s", $text)',
        "temporary": "use tempnam or tmpfile",
        "xml": "leave LIBXML_NOENT and LIBXML_DTDLOAD off",
        "random": "use random_bytes or random_int",
    },
    patterns=(
        SQL,
        HTML_TEXT,
        *CREDENTIALS,
        Pattern("shell", "call", r"system|exec|shell_exec|passthru|popen|proc_open", arg=0, value="risky"),
        Pattern("shell", "call", r"`", arg=0, value="built"),
        Pattern("code", "call", r"eval", arg=0, value="dynamic"),
        Pattern("code", "call", r"assert|create_function", arg=0, value="built"),
        Pattern("code", "call", r"preg_replace", arg=0, value="const", like=r"^([/#~@|]).*\1[imsxu]*e[imsxu]*$"),
        Pattern("code", "call", _INCLUDES, arg=0, value="tainted"),
        Pattern("deserialise", "call", r"unserialize", arg=0, value="dynamic", lacks=r"allowed_classes"),
        Pattern("tls", "call", r"curl_setopt", has=r"CURLOPT_SSL_VERIFY(?:PEER|HOST)\s*,\s*(?i:false|0)\s*\)"),
        Pattern(
            "tls",
            "set",
            r"CURLOPT_SSL_VERIFY(?:PEER|HOST)|verify|verify_peer(?:_name)?",
            value="any",
            like=r"^(?i:false|0)$",
        ),
        Pattern("hash", "call", r"md5|sha1|crc32", arg=0, value="any", like=PASSWORD_NAME),
        Pattern("hash", "call", r"hash", arg=1, value="any", like=PASSWORD_NAME),
        Pattern(
            "path",
            "call",
            r"file_get_contents|file_put_contents|fopen|readfile|unlink|file|copy|rename|move_uploaded_file|file_exists",
            arg=ANY,
            value="tainted",
        ),
        Pattern("html", "call", r"echo|print", arg=ANY, value="tainted"),
        Pattern("format", "call", r"printf|sprintf", arg=0, value="tainted"),
        Pattern(
            "temporary",
            "call",
            r"fopen|file_put_contents|touch",
            arg=0,
            value="text",
            like=TEMPORARY_TEXT,
            lacks=r"[\"']r[\"']",
        ),
        Pattern(
            "xml",
            "call",
            r"simplexml_load_\w+|.*\.(?:loadXML|load)|.*XMLReader\.(?:open|XML)",
            has=r"LIBXML_(?:NOENT|DTDLOAD)",
        ),
        Pattern("xml", "call", r"libxml_disable_entity_loader", has=r"(?i)false"),
        Pattern("random", "call", r"rand|mt_rand|uniqid|lcg_value|array_rand|str_shuffle|shuffle", near=SECRET_NAME),
    ),
    sources=r"\$?_(?:GET|POST|REQUEST|COOKIE|SERVER|FILES)\b(?!\[[\"']tmp_name)",
    clean=r"htmlspecialchars|htmlentities|real_escape_string|escapeshell|\bintval\(|\(int\)|filter_var|filter_input|basename",
)
