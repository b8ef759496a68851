package redact_test

import "strings"

// The secrets below are made when the test runs, from parts, so that nothing
// that looks for keys in repositories finds one.

// key returns n characters of the class, mixed and always the same.
func key(class string, n int) string {
	const lower, upper, digit = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	alphabet := map[string]string{
		"alnum": lower + upper + digit, "upper": upper + digit, "hex": digit + "abcdef", "lower": lower + digit,
		"b64": lower + upper + digit + "+/", "url": lower + upper + digit + "-_", "bech32": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", "digit": digit,
	}[class]
	var b strings.Builder
	state := uint32(n)*2654435761 + uint32(len(alphabet))
	for range n {
		state = state*1664525 + 1013904223
		b.WriteByte(alphabet[int(state>>16)%len(alphabet)])
	}
	return b.String()
}

// planted is a text with a secret in it: %s in the text is the secret.
type planted struct {
	name, text, secret string
	// rule is the one that is expected to name it.
	rule string
	// missed says why this one is not found: the limits that are known.
	missed string
}

func join(parts ...string) string { return strings.Join(parts, "") }

func secrets() []planted {
	jwt := join("eyJ", key("url", 20), ".", "eyJ", key("url", 60), ".", key("url", 43))
	pem := func(kind string) string {
		return join("-----BEGIN ", kind, "-----\n", key("b64", 64), "\n", key("b64", 64), "\n", key("b64", 22), "==\n-----END ", kind, "-----")
	}
	wg := key("b64", 42) + "Q="
	github := join("gh", "p_", key("alnum", 36))
	return []planted{
		{name: "aws access key", text: "deploy uses %s in eu-west-1", secret: "AKIA" + "Q3" + key("upper", 14), rule: "aws-access-key"},
		{name: "aws access key without a digit", text: "deploy uses %s", secret: "AKIA" + "QZRTWPLKJHGFDSAX", rule: "aws-access-key"},
		{name: "aws session key", text: "AWS_ACCESS_KEY_ID=%s", secret: "ASIA" + "Q3" + key("upper", 14), rule: "aws-access-key"},
		{name: "aws secret", text: "aws_secret_access_key = %s\nregion = x", secret: key("b64", 40), rule: "aws-secret-key"},
		{name: "aws secret beside its id", text: "the keys are AKIA" + "Q3" + key("upper", 14) + " / %s ok", secret: key("alnum", 40), rule: "aws-secret-key"},
		{name: "gcp api key", text: "maps key %s works", secret: "AIza" + key("url", 35), rule: "gcp-api-key"},
		{name: "gcp oauth", text: "got %s from gcloud", secret: "ya29." + key("url", 60), rule: "gcp-oauth-token"},
		{name: "gcp client secret", text: "client: %s", secret: "GOCSPX-" + key("url", 28), rule: "gcp-client-secret"},
		{name: "gcp service account", text: `{"type":"service_account","private_key":"%s"}`, secret: strings.ReplaceAll(pem("PRIVATE KEY"), "\n", `\n`), rule: "private-key"},
		{name: "azure storage", text: "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=%s;EndpointSuffix=core.windows.net", secret: key("b64", 86) + "==", rule: "azure-key"},
		{name: "azure service bus", text: "Endpoint=sb://x/;SharedAccessKeyName=root;SharedAccessKey=%s", secret: key("b64", 43) + "=", rule: "azure-key"},
		{name: "azure sas", text: "https://x.blob.core.windows.net/c/f?sv=2020-08-04&se=2026-01-01&sr=b&sp=r&sig=%s", secret: key("alnum", 40) + "%3D", rule: "azure-sas"},
		{name: "azure client secret", text: "the app has %s until May", secret: "abc8" + "Q~" + key("alnum", 34), rule: "azure-client-secret"},
		{name: "github classic", text: "push with %s please", secret: github, rule: "github-token"},
		{name: "github fine grained", text: "token %s", secret: join("github", "_pat_", key("alnum", 22), "_", key("alnum", 59)), rule: "github-token"},
		{name: "github actions", text: "x-access-token %s.", secret: join("gh", "s_", key("alnum", 36)), rule: "github-token"},
		{name: "gitlab", text: "GITLAB: %s", secret: join("gl", "pat-", key("url", 20)), rule: "gitlab-token"},
		{name: "slack bot", text: "slack %s", secret: join("xox", "b-", key("digit", 12), "-", key("digit", 12), "-", key("alnum", 24)), rule: "slack-token"},
		{name: "slack webhook", text: "post to https://hooks.slack.com/services/%s now", secret: "T0" + key("upper", 8) + "/B0" + key("upper", 8) + "/" + key("alnum", 24), rule: "slack-webhook"},
		{name: "hugging face", text: "export HF=%s", secret: join("h", "f_", key("alnum", 34)), rule: "huggingface-token"},
		{name: "openai", text: "it answered with %s", secret: join("s", "k-", key("alnum", 48)), rule: "openai-key"},
		{name: "openai project", text: "OPENAI_API_KEY=%s", secret: join("s", "k-proj-", key("url", 64)), rule: "openai-key"},
		{name: "openai short", text: "key %s", secret: join("s", "k-", key("alnum", 20)), rule: "openai-key"},
		{name: "anthropic", text: "ANTHROPIC_API_KEY: %s", secret: join("s", "k-ant-api03-", key("url", 93)), rule: "anthropic-key"},
		{name: "openrouter", text: "via %s", secret: join("s", "k-or-v1-", key("hex", 64)), rule: "openrouter-key"},
		{name: "nvidia", text: "NIM wants %s", secret: join("nv", "api-", key("url", 64)), rule: "service-token"},
		{name: "stripe", text: "charge with %s", secret: join("sk", "_live_", key("alnum", 24)), rule: "stripe-key"},
		{name: "npm", text: "//registry.example/:_authToken=%s", secret: join("np", "m_", key("alnum", 36)), rule: "package-registry-token"},
		{name: "pypi", text: "twine -p %s", secret: join("py", "pi-", "AgEI", key("url", 80)), rule: "package-registry-token"},
		{name: "docker", text: "login with %s", secret: join("dckr", "_pat_", key("url", 27)), rule: "package-registry-token"},
		{name: "tailscale", text: "tailscale up --authkey %s", secret: join("ts", "key-auth-", key("alnum", 12), "-", key("alnum", 32)), rule: "service-token"},
		{name: "vault", text: "VAULT %s", secret: join("hv", "s.", key("url", 40)), rule: "service-token"},
		{name: "telegram", text: "the bot is %s", secret: "7" + key("digit", 9) + ":AA" + key("url", 33), rule: "telegram-token"},
		{name: "jwt", text: "sent %s to the api", secret: jwt, rule: "jwt"},
		{name: "rsa key", text: "here:\n%s\nthanks", secret: pem("RSA PRIVATE KEY"), rule: "private-key"},
		{name: "openssh key", text: "%s", secret: pem("OPENSSH PRIVATE KEY"), rule: "private-key"},
		{name: "ec key in one line", text: "key %s end", secret: strings.ReplaceAll(pem("EC PRIVATE KEY"), "\n", " "), rule: "private-key"},
		{name: "pgp key", text: "%s", secret: pem("PGP PRIVATE KEY BLOCK"), rule: "private-key"},
		{name: "cut off key", text: "log: %s", secret: "-----BEGIN PRIVATE KEY-----\n" + key("b64", 64), rule: "private-key"},
		{name: "age", text: "identity %s", secret: "AGE-SECRET-" + "KEY-1" + key("bech32", 58), rule: "age-key"},
		{name: "wireguard", text: "[Interface]\nPrivateKey = %s\nAddress = 10.0.0.2/32", secret: wg, rule: "wireguard-key"},
		{name: "wireguard psk", text: "PresharedKey=%s", secret: wg, rule: "wireguard-key"},
		{name: "nix access token", text: "access-tokens = github.com=%s", secret: github, rule: "nix-access-token"},
		{name: "nix access token, opaque", text: "access-tokens = gitlab.example.org=PAT:%s", secret: key("alnum", 20), rule: "nix-access-token"},
		{name: "nix store key", text: "secret file holds cache.example.org-1:%s", secret: key("b64", 86) + "==", rule: "nix-secret-key"},
		{name: "netrc", text: "machine api.example.org login bob password %s", secret: "tr0ub4dor", rule: "netrc"},
		{name: "netrc lines", text: "machine api.example.org\n  login bob\n  password %s\n", secret: "swordfish", rule: "netrc"},
		{name: "pgpass", text: "db.example.org:5432:app:bob:%s", secret: "swordfish", rule: "pgpass"},
		{name: "url password", text: "postgres://app:%s@db:5432/app", secret: "swordfish", rule: "url-userinfo"},
		{name: "url password, no user", text: "REDIS=redis://:%s@cache:6379/0", secret: "swordfish", rule: "url-userinfo"},
		{name: "url password with at", text: "amqp://app:%s@mq/v", secret: "sw@rdf!sh", rule: "url-userinfo"},
		{name: "url password with slash", text: "mongodb+srv://app:%s@db.example.org/x", secret: "sword/fish", rule: "url-userinfo"},
		{name: "url token", text: "git clone https://%s@git.example.org/x.git", secret: key("hex", 40), rule: "url-userinfo"},
		{name: "basic auth", text: "Authorization: Basic %s", secret: key("b64", 24), rule: "authorization-header"},
		{name: "bearer", text: "curl -H 'Authorization: Bearer %s' https://x", secret: key("hex", 40), rule: "authorization-header"},
		{name: "bearer in prose", text: "it sends bearer %s each time", secret: key("hex", 40), rule: "authorization-header"},
		{name: "authorization in json", text: `{"authorization":"Token %s"}`, secret: key("hex", 32), rule: "authorization-header"},
		{name: "x-api-key", text: "X-Api-Key: %s", secret: key("hex", 32), rule: "key-value"},
		{name: "cookie", text: "Cookie: session=%s; theme=dark", secret: key("alnum", 32), rule: "cookie"},
		{name: "docker config", text: `{"auths":{"r":{"auth":"%s"}}}`, secret: key("b64", 24), rule: "docker-auth"},
		{name: "password hash", text: "root:%s:19000:0", secret: join("$6", "$", key("alnum", 16), "$", key("alnum", 86)), rule: "password-hash"},
		{name: "bcrypt", text: "htpasswd says bob:%s", secret: join("$2", "y$10$", key("alnum", 53)), rule: "password-hash"},
		{name: "curl user", text: "curl -s -u bob:%s https://x", secret: "swordfish", rule: "command-line-password"},
		{name: "mysql", text: "mysql -u root -p%s app", secret: "swordfish", rule: "command-line-password"},
		{name: "sshpass", text: "sshpass -p %s ssh host", secret: "swordfish", rule: "command-line-password"},
		{name: "seed phrase", text: "seed phrase: %s", secret: "legal winner thank year wave sausage worth useful legal winner thank yellow", rule: "recovery-phrase"},

		{name: "env", text: "DB_PASSWORD=%s", secret: "swordfish", rule: "key-value"},
		{name: "env, test value", text: "OPENAI_API_KEY=%s", secret: "sk-test-value", rule: "key-value"},
		{name: "yaml", text: "db:\n  password: %s\n  host: x", secret: "swordfish", rule: "key-value"},
		{name: "json", text: `{"user":"bob","password":"%s"}`, secret: "correct horse", rule: "key-value"},
		{name: "json in json", text: `{"body":"{\"password\": \"%s\"}"}`, secret: "swordfish", rule: "key-value"},
		{name: "json with unicode escapes", text: `{"pa\u0073sword":"%s"}`, secret: "swordfish", rule: "key-value"},
		{name: "url encoded pair", text: "body was user%%3Dbob%%26password%%3D%s", secret: "swordfish", rule: "key-value"},
		{name: "twice url encoded", text: "password%%253D%s", secret: "swordfish", rule: "key-value"},
		{name: "query", text: "GET /login?user=bob&password=%s&next=/", secret: "swordfish", rule: "key-value"},
		{name: "api key in query", text: "GET https://x/v1?api_key=%s", secret: key("hex", 32), rule: "key-value"},
		{name: "python", text: `connect(user="bob", password='%s')`, secret: "sw0rd fish", rule: "key-value"},
		{name: "typed python", text: `password: str = "%s"`, secret: "swordfish", rule: "key-value"},
		{name: "go", text: `dbPassword := "%s"`, secret: "swordfish", rule: "key-value"},
		{name: "flag", text: "restic --password %s backup", secret: "swordfish", rule: "key-value"},
		{name: "flag with dashes", text: "tool --api-key %s", secret: key("alnum", 24), rule: "key-value"},
		{name: "xml", text: "<password>%s</password>", secret: "swordfish", rule: "key-value"},
		{name: "sql", text: "CREATE ROLE app LOGIN PASSWORD '%s'", secret: "swordfish", rule: "key-value"},
		{name: "identified by", text: "CREATE USER x IDENTIFIED BY '%s'", secret: "swordfish", rule: "key-value"},
		{name: "redis.conf", text: "requirepass %s", secret: "swordfish", rule: "key-value"},
		{name: "odbc", text: "Server=db;Database=x;Uid=bob;Pwd=%s;", secret: "swordfish", rule: "key-value"},
		{name: "client secret", text: "client_secret: %s", secret: key("alnum", 32), rule: "key-value"},
		{name: "camel case", text: `"accessToken": "%s"`, secret: key("hex", 32), rule: "key-value"},
		{name: "german", text: "Passwort: %s", secret: "geheim", rule: "key-value"},
		{name: "next line", text: "Password:\n%s\n", secret: "swordfish", rule: "key-value"},
		{name: "with a comma in it", text: "password=%s host=db", secret: "p@ss,word", rule: "key-value"},
		{name: "split by a zero width space", text: "pass\u200bword=%s", secret: "swordfish", rule: "key-value"},
		{name: "zero width inside a token", text: "use %s", secret: "gh\u200bp_" + key("alnum", 36), rule: "github-token"},

		{name: "prose", text: "The password is %s.", secret: "hunter2", rule: "prose-password"},
		{name: "prose, a word", text: "Bob said the password is %s", secret: "swordfish", rule: "prose-password"},
		{name: "prose, for what", text: "the password for the admin panel is %s, by the way", secret: "Winter2026!", rule: "prose-password"},
		{name: "prose, quoted", text: `my password is "%s"`, secret: "open the door", rule: "prose-password"},
		{name: "prose, typographic", text: "password is “%s”", secret: "swordfish", rule: "prose-password"},
		{name: "prose, was changed to", text: "we set the password to %s yesterday", secret: "n0rthwind", rule: "prose-password"},
		{name: "prose, is now", text: "the wifi password is now %s", secret: "blue-Fish-77", rule: "prose-password"},
		{name: "prose, passphrase", text: "the passphrase is %s", secret: "correct horse battery staple", rule: "prose-password"},
		{name: "prose, no verb", text: "log in as bob with password %s", secret: "tr0ub4dor3", rule: "prose-password"},
		{name: "prose, before", text: "use %s as the password", secret: "tr0ub4dor3", rule: "prose-password"},
		{name: "prose, before, is", text: "%s is my password", secret: "tr0ub4dor3", rule: "prose-password"},
		{name: "prose, pin", text: "the pin code is %s", secret: "4921", rule: "prose-password"},
		{name: "prose, token", text: "our API key is %s", secret: key("hex", 32), rule: "prose-password"},
		{name: "prose, german", text: "das Passwort ist %s", secret: "Sommer2026", rule: "prose-password"},

		{name: "no name at all", text: "try %s", secret: "Winter2026!", missed: "nothing says that it is a password"},
		{name: "bare hex key", text: "%s", secret: key("hex", 40), missed: "looks like a commit"},
		{name: "a word in a longer sentence", text: "the password is %s and nobody changed it", secret: "swordfish", missed: "a word inside a sentence is read as prose"},
		{name: "two sentences", text: "I'll tell you the password. It's %s", secret: "swordfish", missed: "the name is in another sentence"},
		{name: "spelled out", text: "the password is %s", secret: "s-w-o-r-d", missed: "read as a hyphenated word"},
		{name: "base64 of a pair", text: "config: %s", secret: "cGFzc3dvcmQ9c3dvcmRmaXNo", missed: "base64 is not decoded"},
	}
}

// harmless are texts that must stay as they are.
func harmless() []string {
	return []string{
		"", "a", "The password field is required.", "Password: required", "password must be at least 12 characters", "The password is stored in the vault.",
		"the password is wrong", "Password: must be changed every 90 days", "passwords are hashed with argon2id", "the password is hashed", "the password is bcrypt-hashed",
		"the password is 12 characters long", "password is SHA256 encoded", "the password was changed on 2026-05-01", "forgot your password?", "reset the password to continue",
		"password-less login", "PasswordAuthentication no", "password_hash_rounds=12", "password_file=/run/secrets/db", "password=$DB_PASSWORD", "password: ${{ secrets.DB }}",
		"password={{ vault_db }}", `password = os.environ["DB_PASSWORD"]`, "password: <your password>", "password=********", "password = getpass.getpass()", "password: string",
		"password: Optional[str] = None", "connect(password=password)", "self.password = config.password", "token = get_token()", "tokens: 4096", "max_tokens=8192",
		"The token is valid until tomorrow.", "the tokenizer splits words", "token_count: 12", "secret: true", "secretName: db-credentials", "secretKeyRef: db",
		"The secret is to whisk the eggs first.", "the secret of good soup: patience", "API key is stored in OPENAI_API_KEY", "credentials are kept in the keyring", "access keys rotate every 30 days",
		"commit 5afadf5c3f0e2b1d4a6c8e9f0123456789abcdef fixed it", "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		"id 550e8400-e29b-41d4-a716-446655440000", "etag W/\"33a64df551425fcc55e4d42a148795d9f25f89d4\"",
		"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxkZXZlbG9wZXJAZXhhbXBsZQ bob@host", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
		"-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", "PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
		"cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=", "https://github.com/ryjen/dubnium/blob/main/README.md", "http://localhost:8090/memory/retrieve?limit=8",
		"https://example.org:8443/path/@scope/pkg", "https://user@example.org/x", "mailto:bob@example.org", "ssh://git@github.com/ryjen/dubnium.git",
		"npm i @scope/pkg@1.2.3 from https://registry.example/@scope%2fpkg", "the task-list and the risk-assessment-document-2026 are disk-bound", "sk-learn is a library", "asks sk-means",
		"half_life hf_hub_download hf_transfer_enabled", "xoxo, your friend", "Eyjafjallajokull erupted in 2010.", "eyJ is how tokens begin", "a machine learning login page with password reset",
		"Authorization is needed.", "The Authorization header carries the token.", "bearer tokens expire", "bearer of bad news", "cookie: the recipe needs flour", "cookies are delicious",
		"compass: north", "bypass=true", "trespass: forbidden", "passes: 12, fails: 0", "pass: 12", "PASS: TestStore (0.01s)", "it passed", "the passport is in the drawer",
		"secretary: Ms Jones", "credentials: include", "pin is connected to GPIO 4", "pinned to version 1.2.3", "monkey: banana", "primary key: id", "key: value", "public_key: x",
		"foreign_key=user_id", "keyboard=us", "the API is documented at https://example.org/api", "He said the login is broken", "login is required", "the token is 64-bit wide",
		"The combination is excellent", "Basic usage: see below", "function(token, secret) { return token + secret }", "if (token == null) return;", "type Secret struct", "tokenType: Bearer",
		"token_type=bearer&expires_in=3600", "next_page_token: ", "csrf tokens prevent forgery", "two-factor tokens are sent by SMS", "set password policy to strict", "password manager",
		"use a strong password as a rule", "admin as the password is a bad idea", "let's agree on 2026-05-28 as the deadline", "Caroline went to the LGBTQ support group on 7 May 2023.",
		"Melanie: I painted that lake sunrise last year! It's special to me.", "100% sure, 50%25 off", `C:\new\temp\users`, "\u200bhello\u200b world", "résumé, naïve, 日本語のテキスト", "\xff\xfe broken bytes",
		"[REDACTED:github-token] was here", "the mnemonic is easy to remember because it rhymes with the name of the street where we all lived", "seed phrase is what wallets call the list of words that one has to write down",
		"wireguard is a VPN", "the wireguard private key is generated by wg genkey", "access-tokens is a nix option", "AccountKey is a field of the connection string",
	}
}
