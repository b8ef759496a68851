package redact

import "regexp"

const (
	alnum = `[A-Za-z0-9]`
	b64   = `[A-Za-z0-9+/]`
	b64u  = `[A-Za-z0-9_-]`
)

// rules in order of precedence: where two find the same text, the first one
// names it, so what knows a service comes before what knows only a word. The
// shapes are those that the services document for their keys, with lengths a
// little below, since a key cut short is a key all the same.
var rules = []rule{
	{id: "private-key", keywords: []string{"-----begin "}, find: pemBlock},
	{
		id: "putty-private-key", keywords: []string{"private-lines:"},
		re: regexp.MustCompile(`^(?i:private-lines):[ \t]*[0-9]{1,4}\s{1,4}((?:` + b64 + `{8,}={0,2}\s{0,3})+)`),
	},
	token("age-key", `[A-Za-z0-9-]`, "40", "AGE-SECRET-KEY-", "AGE-PLUGIN-"),
	{
		id: "wireguard-key", keywords: []string{"privatekey", "private-key", "private key", "presharedkey", "preshared-key", "preshared key", "wg genkey", "wireguard"},
		re: regexp.MustCompile(`^[A-Za-z -]{6,40}?["']?[ \t]*(?:[:=]|is|was|>|\|)?[ \t]*["']?(` + b64 + `{42}[AEIMQUYcgkosw048]=)`),
	},
	{
		id: "nix-secret-key", keywords: nixKeyNumbers,
		re: regexp.MustCompile(`^-[0-9]:(` + b64 + `{86}==)`),
	},
	{
		id: "nix-access-token", keywords: []string{"access-tokens"},
		re: regexp.MustCompile(`^(?i:access-tokens)["']?[ \t]*(?:=|:|[ \t])[ \t]*["']?((?:[A-Za-z0-9.-]+(?:/[A-Za-z0-9._-]+){0,4}=[^\s"']{4,}[ \t]*){1,10})`),
	},

	token("anthropic-key", b64u, "12", "sk-ant-"),
	apart(token("openai-key", b64u, "12", "sk-proj-", "sk-svcacct-", "sk-admin-", "sess-")),
	apart(token("openrouter-key", b64u, "16", "sk-or-")),
	apart(token("openai-key", b64u, "16", "sk-")),
	token("huggingface-token", alnum, "16", "hf_", "api_org_"),
	token("github-token", `[A-Za-z0-9_]`, "16", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
	token("gitlab-token", b64u, "16", "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-", "gloas-"),
	{
		id: "slack-webhook", keywords: []string{"hooks.slack.com/"},
		re: regexp.MustCompile(`^(?i:hooks\.slack\.com)/(?:services|workflows|triggers)/([A-Za-z0-9/_-]{16,})`),
	},
	token("slack-token", `[A-Za-z0-9-]`, "10", "xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xoxc-", "xoxd-", "xoxe-", "xoxe.xoxp-", "xapp-"),
	{
		id: "aws-access-key", keywords: []string{"akia", "asia", "abia", "acca"}, apart: true,
		re: regexp.MustCompile(`^(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b`), plausible: accessKey,
	},
	{id: "aws-secret-key", keywords: []string{"akia", "asia"}, apart: true, find: besideAccessKey},
	{
		id: "aws-secret-key", keywords: []string{"aws_secret", "aws-secret", "aws secret", "awssecret", "secretaccesskey", "secret access key"},
		re: regexp.MustCompile(`^[A-Za-z_ -]{6,40}["']?[ \t]{0,4}(?:=>|[:=]|is)?[ \t]{0,4}["']?(` + b64 + `{40})(?:[^A-Za-z0-9+/=]|$)`),
	},
	token("gcp-api-key", b64u, "30", "AIza"),
	token("gcp-oauth-token", `[A-Za-z0-9._-]`, "20", "ya29."),
	token("gcp-client-secret", b64u, "20", "GOCSPX-"),
	{
		id: "azure-key", keywords: []string{"accountkey", "sharedaccesskey", "sharedsecretissuer", "account key"},
		re: regexp.MustCompile(`^[A-Za-z ]{8,30}["']?[ \t]*[=:][ \t]*["']?(` + b64 + `{20,}={0,2})`),
	},
	{
		id: "azure-sas", keywords: []string{"&sig=", "?sig=", "sharedaccesssignature"},
		re: regexp.MustCompile(`^(?:[&?](?i:sig)=([A-Za-z0-9%+/=_-]{20,})|(?i:sharedaccesssignature)[ =][^\s"']*?\bsig=([A-Za-z0-9%+/=_-]{20,}))`),
	},
	{id: "azure-client-secret", keywords: []string{"7q~", "8q~", "0q~", "1q~", "2q~", "3q~", "4q~", "5q~", "6q~", "9q~"}, find: azureClientSecret},
	token("stripe-key", alnum, "16", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"),
	token("package-registry-token", b64u, "16", "npm_", "pypi-", "rubygems_", "dckr_pat_", "dckr_oat_", "crates_io_"),
	token("service-token", `[A-Za-z0-9._-]`, "16",
		"dop_v1_", "doo_v1_", "tskey-", "hvs.", "hvb.", "dp.st.", "lin_api_", "ntn_", "glsa_", "glc_", "sntrys_", "ATATT3", "shpat_", "shpss_",
		"nvapi-", "gsk_", "pplx-", "r8_", "xai-", "PMAK-", "figd_", "pul-", "EAAC", "SG.", "dapi", "sq0atp-", "sq0csp-", "tfp_", "atlasv1."),
	{id: "telegram-token", keywords: []string{":aa"}, find: telegramToken},
	{
		id: "jwt", keywords: []string{"eyj"}, apart: true,
		re: regexp.MustCompile(`^eyJ` + b64u + `{5,}\.` + b64u + `{4,}(?:\.` + b64u + `*){1,3}`),
	},
	{
		id: "password-hash", keywords: []string{"$2a$", "$2b$", "$2y$", "$6$", "$5$", "$y$", "$argon2"},
		re: regexp.MustCompile(`^\$(?:2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}|[56y]\$(?:rounds=[0-9]{1,9}\$)?[./A-Za-z0-9]{1,32}\$[./A-Za-z0-9$]{22,}|argon2(?:id|i|d)\$[^\s"']{20,})`),
	},

	{id: "url-userinfo", keywords: []string{"://"}, find: userInfo},
	{
		id: "authorization-header", keywords: []string{"authorization"},
		re: regexp.MustCompile(`^(?i:authorization)["']?[ \t]*[:=][ \t]*["']?(?:(?i:basic|bearer|token|negotiate|apikey|api-key|digest|ntlm|dpop|aws4-hmac-sha256)[ \t]+)?([^\s"'` + "`" + `<>][^\r\n"'` + "`" + `<>]{2,})`),
	},
	{
		id: "authorization-header", keywords: []string{"bearer "}, apart: true,
		re: regexp.MustCompile(`^(?i:bearer)[ \t]+["']?([A-Za-z0-9._~+/=-]{8,})`), plausible: featured,
	},
	{
		id: "cookie", keywords: []string{"cookie:"},
		re: regexp.MustCompile(`^(?i:cookie):[ \t]*([^\s=;"']+=[^\r\n"']{4,})`),
	},
	{
		id: "docker-auth", keywords: []string{`"auth"`},
		re: regexp.MustCompile(`^"(?i:auth)"[ \t]*:[ \t]*"(` + b64 + `{8,}={0,2})"`),
	},
	{
		id: "netrc", keywords: []string{"machine ", "machine\t", "machine\n", "login ", "login\t", "login\n"}, apart: true,
		re: regexp.MustCompile(`^(?i:machine|login)\s{1,4}\S+\s{1,8}(?:(?:login|account|port)\s{1,4}\S+\s{1,8}){0,3}(?:password|pass)\s{1,4}(\S+)`),
	},
	{
		id: "pgpass", keywords: []string{":5432:", ":6432:", ":5433:"},
		re: regexp.MustCompile(`^:[0-9]{4}:[^:\s]{1,64}:[^:\s]{1,64}:([^\s"']+)`),
	},
	{
		id: "command-line-password", keywords: []string{"sshpass -p", "mysql ", "mysqldump ", "mariadb ", "redis-cli ", "curl ", "wget "}, apart: true, window: 256,
		re: regexp.MustCompile(`^(?:sshpass -p[ \t]*["']?([^\s"']+)|(?:mysql|mysqldump|mariadb)[ \t][^\r\n|;]*?-p([^\s"'-][^\s"']{2,})|redis-cli[ \t][^\r\n|;]*?(?:-a|--pass)[ \t]+["']?([^\s"']{2,})|curl[ \t][^\r\n|;]*?(?:-u|--user|--proxy-user)[ \t=]*["']?[^\s:"']*:([^\s"']+)|wget[ \t][^\r\n|;]*?--(?:http-|ftp-)?passwo?r?d?=["']?([^\s"']+))`),
	},
	{id: "recovery-phrase", keywords: []string{"seed phrase", "recovery phrase", "mnemonic", "seed words", "wallet phrase"}, find: recoveryPhrase},
	{id: "key-value", keywords: pairNames, find: pair},
	{id: "prose-password", keywords: proseNames, find: prose},
	{id: "prose-password", keywords: []string{" as the password", " as my password", " as your password", " as a password", " as password", " is the password", " is my password", " is our password", " as the passphrase", " is the passphrase", " as the token", " as the api key"}, find: proseBefore},
}

var nixKeyNumbers = []string{"-1:", "-2:", "-3:", "-4:", "-5:", "-6:", "-7:", "-8:", "-9:"}
