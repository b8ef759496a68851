"""Answers like a vLLM that is healthy and has nothing to do."""
import http.server

METRICS = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = METRICS.encode() if self.path == "/metrics" else b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
