package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// MemoryDirectory holds what the memory service keeps outside of a database
// that somebody else runs: its private Postgres cluster and the artifacts.
const MemoryDirectory = "/var/lib/dubnium-memory"

// Memory is the memory service for agents.
type Memory struct {
	Enable     bool
	API        MemoryAPI
	Database   MemoryDatabase
	Redis      MemoryRedis
	Retention  MemoryRetention
	Embeddings MemoryEmbeddings
	Artifacts  MemoryArtifacts
}

// MemoryAPI is where the service listens.
type MemoryAPI struct {
	Socket string
	Host   string // a loopback address: anything else is refused
	Port   int    // 0: the socket alone
}

// MemoryDatabase says where the memories are. With neither a DSN nor a file of
// one, the service runs a private cluster of its own.
type MemoryDatabase struct {
	DSN       string // libpq's keywords or URL, without a password
	DSNFile   string // a file with the DSN, for one that holds a password
	Directory string // of the private cluster
	Programs  string // folder of initdb and postgres; empty: looked for
	Unit      string // that runs the database of DSN on this machine; empty: none
	// SharedBuffers is what the private cluster keeps of its files in memory;
	// 0: as the machine's memory allows.
	SharedBuffers Size
	Cache         Size // of memories, in the service's memory; 0: none
}

// Private tells whether the service runs its own database.
func (d MemoryDatabase) Private() bool { return d.DSN == "" && d.DSNFile == "" }

// MemoryRedis is the queue; without it the work goes on from the database.
type MemoryRedis struct {
	URL  string // empty: none
	Unit string // that runs it on this machine; empty: none
}

// MemoryRetention says for how long.
type MemoryRetention struct {
	DefaultTTLDays int // 0: for ever
	WorkingTTLDays int // of memory_type working; 0: as DefaultTTLDays
	EventDays      int // of retrieval events; 0: for ever
}

// Embedder says what turns text into vectors.
type Embedder string

// The embedders.
const (
	EmbedderBuiltin Embedder = "builtin" // in the program itself; needs no model
	EmbedderOpenAI  Embedder = "openai"  // an OpenAI-compatible endpoint
	EmbedderNone    Embedder = "none"    // retrieval by words alone
)

// MemoryEmbeddings is how memories get vectors. The keys from URL on are of
// the openai provider.
type MemoryEmbeddings struct {
	Provider       Embedder
	URL            string
	Model          string
	Dimensions     int
	QueryPrefix    string
	DocumentPrefix string
	APIKeyFile     string
	Batch          int
	Concurrency    int
	Timeout        Duration
	Metrics        string // where embed-worker answers GET /metrics; empty: nowhere
}

// MemoryArtifacts is where evidence is kept, by content.
type MemoryArtifacts struct {
	Directory string
	MaxSize   Size
}

func defaultMemory() Memory {
	return Memory{
		API:      MemoryAPI{Socket: "/run/dubnium-memory/api.sock", Host: "127.0.0.1", Port: 8090},
		Database: MemoryDatabase{Directory: MemoryDirectory + "/postgres", Cache: 256 * MiB},
		Embeddings: MemoryEmbeddings{
			Provider: EmbedderBuiltin, URL: "http://127.0.0.1:8000/v1", Model: "bge-small-en-v1.5", Dimensions: 384,
			Batch: 64, Concurrency: 2, Timeout: Duration(30 * time.Second),
		},
		Artifacts: MemoryArtifacts{Directory: MemoryDirectory + "/artifacts", MaxSize: 256 * MiB},
	}
}

func memoryKeys() []definition {
	const maxDays = 36500
	return []definition{
		{path: "memory.enable", at: func(c *Config) any { return &c.Memory.Enable }, example: "true", doc: "Whether the memory service starts with the machine. A person may start dubnium-memory-api.service all the same."},
		{path: "memory.api.socket", at: func(c *Config) any { return &c.Memory.API.Socket }, check: wrongPath, allowed: "an absolute path", example: `"/run/memory/api.sock"`, doc: "The unix socket that the service listens on. Members of the group dubnium may use it, and who they are is recorded with what they ask."},
		{path: "memory.api.host", at: func(c *Config) any { return &c.Memory.API.Host }, check: wrongLoopback, allowed: "127.0.0.1 or ::1", example: `"::1"`, doc: "The address that the service listens on besides its socket. Only this machine may reach it: an address of a network is refused."},
		{path: "memory.api.port", at: func(c *Config) any { return &c.Memory.API.Port }, max: 65535, example: "8091", doc: "The TCP port on memory.api.host. Every process of this machine may connect to it, and nothing is known of who it is; 0 listens on the socket alone."},
		{path: "memory.database.dsn", at: func(c *Config) any { return &c.Memory.Database.DSN }, empty: true, private: true, check: wrongDSN, allowed: "a connection string of libpq without a password", example: `"postgresql:///dubnium_memory?host=/run/postgresql"`, doc: "The Postgres database, with the extension vector, that holds the memories. At most as many connections are open as there are processors, 4 at least; pool_max_conns in the string says otherwise. Empty runs a private cluster from this machine's Postgres programs."},
		{path: "memory.database.dsnFile", at: func(c *Config) any { return &c.Memory.Database.DSNFile }, empty: true, check: wrongPath, allowed: "an absolute path", example: `"/run/secrets/memory-dsn"`, doc: "A file whose first line is the connection string, for one that holds a password. It is read when the service starts."},
		{path: "memory.database.directory", at: func(c *Config) any { return &c.Memory.Database.Directory }, check: wrongPath, allowed: "an absolute path", example: `"/srv/memory/postgres"`, doc: "The folder of the private cluster. It is made at the first start, by initdb."},
		{path: "memory.database.programs", at: func(c *Config) any { return &c.Memory.Database.Programs }, empty: true, check: wrongPath, allowed: "an absolute path", example: `"/usr/lib/postgresql/17/bin"`, doc: "The folder of initdb and postgres for the private cluster. Empty takes the newest that this distribution has installed."},
		{path: "memory.database.unit", at: func(c *Config) any { return &c.Memory.Database.Unit }, empty: true, check: wrongUnit(".service"), allowed: "the name of a .service unit", example: `"postgresql.service"`, doc: "The unit that runs the database of memory.database.dsn, when it is on this machine. The memory service then starts after it, and dubnium-memory-database.service makes the role, the database and the extension."},
		{path: "memory.database.sharedBuffers", at: func(c *Config) any { return &c.Memory.Database.SharedBuffers }, empty: true, example: `"4GiB"`, doc: "shared_buffers of the private cluster: how much of its files Postgres keeps at hand. It is filled as it is used, and not given back before the service stops. Empty takes a sixteenth of the machine's memory, 128 MiB at least and 4 GiB at most; scopes of hundreds of thousands of memories gain from more."},
		{path: "memory.database.cache", at: func(c *Config) any { return &c.Memory.Database.Cache }, example: `"1GiB"`, doc: "How much of the memories the service keeps at hand, so that a retrieval reads them from the database only when they have changed: small scopes whole, about 4 KiB a memory, and in up to half of it the memories of large scopes that questions led to. What the process takes may be twice that. \"0\" keeps none."},
		{path: "memory.redis.url", at: func(c *Config) any { return &c.Memory.Redis.URL }, empty: true, private: true, check: wrongRedis, allowed: "redis://HOST:PORT/DB, rediss:// or unix:///PATH", example: `"unix:///run/redis-dubnium-memory/redis.sock"`, doc: "The Redis or Valkey whose stream hands embedding work to the workers. Empty needs none: the workers take the work from the database."},
		{path: "memory.redis.unit", at: func(c *Config) any { return &c.Memory.Redis.Unit }, empty: true, check: wrongUnit(".service"), allowed: "the name of a .service unit", example: `"valkey-server.service"`, doc: "The unit that runs it, when it is on this machine. The memory service and its workers then start after it."},
		{path: "memory.retention.defaultTtlDays", at: func(c *Config) any { return &c.Memory.Retention.DefaultTTLDays }, max: maxDays, example: "365", doc: "Days after which a memory that was stored without a TTL expires; 0 is never."},
		{path: "memory.retention.workingTtlDays", at: func(c *Config) any { return &c.Memory.Retention.WorkingTTLDays }, max: maxDays, example: "7", doc: "The same for memories of the class working, which are context of a task and not worth much after it; 0 is as memory.retention.defaultTtlDays."},
		{path: "memory.retention.eventDays", at: func(c *Config) any { return &c.Memory.Retention.EventDays }, max: maxDays, example: "90", doc: "Days for which retrieval events are kept; 0 is for ever. What is older can be neither audited nor replayed."},
		{path: "memory.embeddings.provider", at: func(c *Config) any { return &c.Memory.Embeddings.Provider }, enum: []string{string(EmbedderBuiltin), string(EmbedderOpenAI), string(EmbedderNone)}, example: `"openai"`, doc: "What turns text into vectors: \"builtin\" needs no model and no GPU; \"openai\" asks an endpoint with OpenAI's protocol, such as vLLM or llama-server; \"none\" retrieves by words alone."},
		{path: "memory.embeddings.url", at: func(c *Config) any { return &c.Memory.Embeddings.URL }, private: true, check: wrongURL("memory.embeddings.apiKeyFile"), allowed: "an http or https URL without a password", example: `"http://127.0.0.1:8001/v1"`, doc: "The endpoint of the openai provider, up to and with /v1."},
		{path: "memory.embeddings.model", at: func(c *Config) any { return &c.Memory.Embeddings.Model }, example: `"nomic-embed-text-v1.5"`, doc: "The model's name at the endpoint. Each model has a table of its own, so that the old one serves until the new one is complete."},
		{path: "memory.embeddings.dimensions", at: func(c *Config) any { return &c.Memory.Embeddings.Dimensions }, min: 8, max: 4000, example: "768", doc: "The length of the model's vectors. An answer of another length is refused."},
		{path: "memory.embeddings.queryPrefix", at: func(c *Config) any { return &c.Memory.Embeddings.QueryPrefix }, empty: true, example: `"search_query: "`, doc: "What the model wants before a query. Empty takes what is known of the model: bge and nomic have one."},
		{path: "memory.embeddings.documentPrefix", at: func(c *Config) any { return &c.Memory.Embeddings.DocumentPrefix }, empty: true, example: `"search_document: "`, doc: "What the model wants before a text that is stored. Empty takes what is known of the model."},
		{path: "memory.embeddings.apiKeyFile", at: func(c *Config) any { return &c.Memory.Embeddings.APIKeyFile }, empty: true, check: wrongPath, allowed: "an absolute path", example: `"/run/secrets/embeddings"`, doc: "A file whose first line is the endpoint's bearer token. It is read when the worker starts."},
		{path: "memory.embeddings.batch", at: func(c *Config) any { return &c.Memory.Embeddings.Batch }, min: 1, max: 2048, example: "16", doc: "How many texts one request to the provider holds."},
		{path: "memory.embeddings.concurrency", at: func(c *Config) any { return &c.Memory.Embeddings.Concurrency }, min: 1, max: 64, example: "8", doc: "How many requests to the provider are under way at a time."},
		{path: "memory.embeddings.timeout", at: func(c *Config) any { return &c.Memory.Embeddings.Timeout }, example: `"2m"`, doc: "Bounds one request to the provider."},
		{path: "memory.embeddings.metrics", at: func(c *Config) any { return &c.Memory.Embeddings.Metrics }, empty: true, check: wrongLocalAddress, allowed: "an address of this machine and a port", example: `"127.0.0.1:8092"`, doc: "Where embed-worker answers GET /metrics, in Prometheus' text format. Each worker of a machine needs a port of its own (embed-worker --metrics). Empty answers nowhere. The figures of the worker that is part of the memory service are among its own."},
		{path: "memory.artifacts.directory", at: func(c *Config) any { return &c.Memory.Artifacts.Directory }, check: wrongPath, allowed: "an absolute path", example: `"/srv/memory/artifacts"`, doc: "The folder of the artifacts: one file a content, named by its SHA-256."},
		{path: "memory.artifacts.maxSize", at: func(c *Config) any { return &c.Memory.Artifacts.MaxSize }, example: `"2GiB"`, doc: "The largest artifact that is taken."},
	}
}

func wrongLoopback(s string) string {
	if s == "127.0.0.1" || s == "::1" {
		return ""
	}
	return "is not this machine alone; write 127.0.0.1, and let other machines reach it through a tunnel with its own authentication"
}

func wrongLocalAddress(s string) string {
	if at, err := netip.ParseAddrPort(s); err != nil || !at.Addr().IsLoopback() || at.Port() == 0 {
		return "is no address of this machine alone with a port; write one such as 127.0.0.1:8092"
	}
	return ""
}

func wrongDSN(s string) string {
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		switch {
		case err != nil || (u.Scheme != "postgresql" && u.Scheme != "postgres"):
			return "is no postgresql:// URL; write one, such as postgresql:///dubnium_memory?host=/run/postgresql"
		case hasPassword(u):
			return passwordHere
		}
		return ""
	}
	if !strings.Contains(s, "=") {
		return "is no connection string; write KEYWORD=VALUE pairs or a postgresql:// URL"
	}
	if strings.Contains(s, "password") {
		return passwordHere
	}
	return ""
}

const passwordHere = "holds a password, and this file is readable by everyone; put the string into a file and name it in memory.database.dsnFile"

func hasPassword(u *url.URL) bool {
	_, set := u.User.Password()
	return set || u.Query().Has("password")
}

func wrongRedis(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || (u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix"):
		return "is no redis://, rediss:// or unix:// URL; write one, such as unix:///run/redis-dubnium-memory/redis.sock"
	case u.Scheme == "unix" && !strings.HasPrefix(u.Path, "/"):
		return "names no absolute path; write unix:/// and the path"
	case u.Scheme != "unix" && u.Host == "":
		return "names no host; write redis://HOST:PORT"
	case hasPassword(u):
		return "holds a password, and this file is readable by everyone; use a unix socket, whose permissions say who may connect"
	}
	return ""
}

// wrongURL says what is wrong with an endpoint whose token belongs into the
// file that a key names.
func wrongURL(tokens string) func(string) string {
	return func(s string) string {
		u, err := url.Parse(s)
		switch {
		case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
			return "is no http or https URL; write one, such as http://127.0.0.1:8000/v1"
		case u.User != nil:
			return "holds a user or a password, and this file is readable by everyone; put a token into a file and name it in " + tokens
		}
		return ""
	}
}
