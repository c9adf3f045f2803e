"""Secrets in files of every kind are found, and the words that programs use about them are not taken for any."""

from __future__ import annotations

import pytest

from lsp_server.core.secrets import holds_secret, is_secret_file, speaks_of_secrets, without_secrets

# Tokens are put together here, or whoever reads this file would take them for real ones.
SECRETS = [
    "AWS_SECRET_ACCESS_KEY = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzKEY'",
    "aws_access_key_id=AK~IAIOSFODNN7ABCDEFG",
    "DATABASE_URL = 'postgres://app:s3cr3tPw@db.internal:5432/app'",
    "DB_PASSWORD = 'hunter2'",
    'password: "correcthorsebatterystaple"',
    "SECRET_KEY = 'django-insecure-x#k29sl3!k2'",
    '"apiKey": "AI~zaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"',
    "STRIPE = 'sk~_live_4eC39HqLyjWDarjtT1zdp7dc'",
    'token := "gh~s_16C7e42F292c6912E7710c838347Ae178B4a"',
    "--~---BEGIN OPENSSH PRIVATE KEY-----",
    "jwt = 'ey~JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U'",
    "SENDGRID='SG~.ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc-1s5cr'",
    "slack='https://ho~oks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX'",
    "TWILIO_AUTH = 'SK~0123456789abcdef0123456789abcdef'",
    "Ac~countKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "headers = {'Authorization': 'Bearer abcdef0123456789abcdef'}",
    "Authorization: Basic dXNlcjpwYXNzd29yZA==",
    "const password = `p4ssw0rd!`",
    "os.environ['API_TOKEN'] = 'a8f5f167f44f4964e6c998dee827110c'",
    'config.set("client_secret", "8Xq~9zKpLmQ2wErTy")',
    "password => 'tr0ub4dor&3',",
    'private static final String API_KEY = "9f86d081884c7d659a2feaa0c55ad015";',
    'let api_key: &str = "9f86d081884c7d65";',
    "PASSWORD=S3cr3t!Passw0rd",
    "  password: Pr0duction!42",
    "def connect(user='app', password='Zx81-spectrum'):",
    'EMAIL_HOST_PASSWORD = "qwfpgjluyarstdhneiozxcvbkm12"',
    'conn = psycopg2.connect("dbname=x user=y password=Tr3bor#9")',
    "anthropic = 'sk~-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789'",
    "openai='sk~-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD'",
    "npm='np~m_abcdefghijklmnopqrstuvwxyz0123456789'",
    "Server=tcp:x;User ID=sa;Password=Yukon900;",
    "redis://:p4ssphr4se@cache:6379/0",
    "ENCRYPTION_KEY = b'Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MDEyMzQ1Ng=='",
    "define('DB_PASSWORD', 'kX9#mP2$vL');",
    "telegram = '12~3456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw'",
]
WORDS = [
    "password = os.environ['DB_PASSWORD']",
    "def check(password: str) -> bool:",
    "token = tokenizer.next_token()",
    "api_key = 'YOUR_API_KEY'",
    "SECRET_KEY = get_secret('django')",
    "password_field = 'password'",
    "if token == 'return':",
    "tokens = text.split(' ')",
    "key = 'name'",
    "secret: Secret = field(default=None)",
    '<input type="password" name="password">',
    "self.token = token",
    "MAX_TOKENS = 2560",
    "access_token: string;",
    "label = 'Enter your password'",
    "token_type = 'bearer'",
    "passwordInput.value = ''",
    "url = 'https://user@example.com/x'",
    "password = getpass.getpass()",
    "Token(kind='identifier', value='x')",
    "return {'token': token, 'expires': 3600}",
    "const secret = process.env.SECRET",
    'password = "<password>"',
    "PASSWORD=${DB_PASSWORD}",
    "API_KEY=changeme",
    "class PasswordResetTokenGenerator:",
    "salt = os.urandom(16)",
    "this.apiKey = apiKey;",
    "eos_token = '<|endoftext|>'",
    'token = "</s>"',
    "case Token.STRING: return 'string'",
    "pin = GPIO.PIN_17",
    "KEY_ALIASES = {'esc': 'Escape'}",
    "password = password.strip()",
    "tokens: list[int] = []",
    '"token": "comment.line",',
    "csrf_token = request.POST.get('csrfmiddlewaretoken')",
    "git@github.com:user/repo.git",
    "http://localhost:8080/@vite",
    "mailto:a:b@c",
    " key: 'ArrowLeft',",
    "token: 'keyword.control.import'",
    "auth = ('user', password)",
    "dsn = f'postgres://{user}:{password}@{host}/{db}'",
    "SECRET = name_1",
]


def joined(text: str) -> bytes:
    return text.replace("~", "").encode()


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_found(text: str) -> None:
    assert holds_secret(joined(text))
    assert holds_secret(b"import os\n\nDEBUG = True\n" + joined(text) + b"\n\n\ndef f():\n    return 1\n")


@pytest.mark.parametrize("text", SECRETS)
def test_what_is_sent_elsewhere_has_no_secret(text: str) -> None:
    around = without_secrets(b"import os\n\n" + joined(text) + b"\n\nx = 1\n")
    assert not holds_secret(around)
    assert around.startswith(b"import os\n")
    assert b"REDACTED" in around
    # A key without an end goes on to the end of the text.
    assert around.endswith(b"\nx = 1\n") or b"PRIVATE KEY" in joined(text)


def test_a_key_of_many_lines_goes_as_a_whole() -> None:
    key = "--" + "---BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"
    assert without_secrets(f"a = 1\n{key}\nb = 2\n".encode()) == b"a = 1\n" + b"REDACTED\n" * 4 + b"b = 2\n"


def test_a_text_without_secrets_is_left_as_it_is() -> None:
    assert without_secrets(b"password = getpass()\n") == b"password = getpass()\n"


@pytest.mark.parametrize("text", WORDS)
def test_what_a_program_says_of_secrets_is_none(text: str) -> None:
    assert not holds_secret(text.encode())


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.local",
        "app.env",
        "prod.tfvars",
        "id_rsa",
        "id_ed25519.pub",
        "config/credentials.yml.enc",
        "secrets.yaml",
        "a/.ssh/config",
        "file:///home/u/.aws/credentials",
        "passwords.txt",
        "server.pem",
        "kubeconfig",
        ".npmrc",
        ".netrc",
        "C:\\Users\\u\\.kube\\config",
        "terraform.tfstate",
        "wp-config.php",
        "k8s/db-secret.yml",
        "Secrets.toml",
    ],
)
def test_a_file_that_is_kept_for_secrets(path: str) -> None:
    assert is_secret_file(path)


@pytest.mark.parametrize(
    ("path", "speaks"),
    [
        ("main.py", False),
        ("settings.py", False),
        ("keyboard.json", False),
        ("tokens.json", False),
        ("ssh/a.py", False),
        ("env.py", True),
        ("password_reset.ts", True),
        ("secrets.rs", True),
        ("kubeconfig.go", True),
        ("password-reset.md", True),
        ("environment.yml", False),
    ],
)
def test_a_program_is_no_such_file_whatever_it_is_called(path: str, speaks: bool) -> None:
    assert not is_secret_file(path)
    assert speaks_of_secrets(path) == speaks
