"""Listeners: who may speak, what of a request is believed, and what a refusal says.

- `public`: TCP, optional TLS. Removes every header that only the platform may set, before anything
  reads them; then checks tokens and turns their claims into `x-o-client`, `x-o-role`, `x-o-key`.
- `internal`: a Unix socket of mode 0600 for the platform's own requests. Whoever can open it is
  trusted, so `x-o-*` and `x-request-id` are kept.

Both buffer a request's body up to the limit, so that a retry can send all of it again, and both log
each attempt at an instance: always the failed ones, the others where a rollout is judged by them.
"""

from __future__ import annotations

from typing import Any, Final

from o_platform.traffic.routes import (
    BODY_LIMIT,
    LISTENER_HEADER,
    METADATA,
    OPERATOR_PATH,
    ROUTES_NAME,
)
from o_platform.traffic.snapshot import Snapshot
from o_platform.traffic.xds import Json, extension, pipe, typed, watched_file

ISSUER: Final = "project-o"
"""The `iss` of every token."""
STAT_PREFIX: Final = "edge"
"""Of both listeners: they share the routes, and Envoy counts those under one of their names."""
CERTIFICATE_NAME: Final = "server"
EDGE_HEADERS: Final = (
    "x-request-id",
    "x-forwarded-for",
    "x-o-client",
    "x-o-role",
    "x-o-key",
    "x-o-shadow",
    LISTENER_HEADER,
)
"""Removed from what comes from outside."""
HEALTH_PATH: Final = "/v1/health/?"
RETRY_AFTER_S: Final = "1"
_PROVIDER = "o"
_MAX_CONNECTION_BYTES = 1024 * 1024


def listeners(snapshot: Snapshot) -> list[Json]:
    """Every listener."""
    return [_public(snapshot), _internal(snapshot)]


def _public(snapshot: Snapshot) -> Json:
    listener = snapshot.listener
    mutations: list[Json] = [{"remove": name} for name in EDGE_HEADERS]
    mutations.append({"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}})
    chain: Json = {
        "filters": [
            _connection_manager(
                snapshot,
                "public",
                mutations,
                [_token_check(snapshot)],
                use_remote_address=True,
            )
        ]
    }
    if listener.tls:
        chain["transport_socket"] = _tls(snapshot)
    address = {"socket_address": {"address": listener.host, "port_value": listener.port}}
    return _listener("public", address, chain)


def _internal(snapshot: Snapshot) -> Json:
    manager = _connection_manager(snapshot, "internal", [], [], preserve_external_request_id=True)
    return _listener(
        "internal", pipe(snapshot.paths.internal_socket, 0o600), {"filters": [manager]}
    )


def _listener(name: str, address: Json, chain: Json) -> Json:
    return typed(
        "envoy.config.listener.v3.Listener",
        name=name,
        address=address,
        filter_chains=[chain],
        # Else a second Envoy binds the same port without a word, and takes half the connections.
        enable_reuse_port=False,
        per_connection_buffer_limit_bytes=_MAX_CONNECTION_BYTES,
    )


def _connection_manager(
    snapshot: Snapshot, name: str, mutations: list[Json], filters: list[Json], **options: Any
) -> Json:
    mark = {"header": {"key": LISTENER_HEADER, "value": name}}
    mutations = [*mutations, {"append": mark | {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}]
    return extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=STAT_PREFIX,
        rds={
            "route_config_name": ROUTES_NAME,
            "config_source": watched_file(snapshot.paths.resource("rds")),
        },
        early_header_mutation_extensions=[
            extension(
                "envoy.http.early_header_mutation.header_mutation",
                "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                mutations=mutations,
            )
        ],
        http_filters=[*filters, _body_limit(snapshot), _router(snapshot)],
        local_reply_config=_local_replies(snapshot),
        **_protocol_options(),
        **options,
    )


def _protocol_options() -> Json:
    return {
        "server_header_transformation": "PASS_THROUGH",
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": typed(
                "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                pack_trace_reason=False,
            )
        },
        "normalize_path": True,
        "merge_slashes": True,
        "common_http_protocol_options": {
            "idle_timeout": "3600s",
            "headers_with_underscores_action": "DROP_HEADER",
        },
        "request_headers_timeout": "10s",
        "request_timeout": "60s",
        "stream_idle_timeout": "300s",
        "drain_timeout": "5s",
    }


def _token_check(snapshot: Snapshot) -> Json:
    provider = {"provider_name": _PROVIDER}
    lenient = {"requires_any": {"requirements": [provider, {"allow_missing_or_failed": {}}]}}
    rules: list[Json] = [
        {"match": _path(OPERATOR_PATH), "requires": provider},
        {"match": _path(HEALTH_PATH)},
        {
            "match": {"prefix": "/"},
            "requires": provider if snapshot.listener.auth_required else lenient,
        },
    ]
    return extension(
        "envoy.filters.http.jwt_authn",
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={_PROVIDER: _provider(snapshot)},
        rules=rules,
    )


def _path(regex: str) -> Json:
    return {"safe_regex": {"regex": regex}}


def _provider(snapshot: Snapshot) -> Json:
    claims = {"sub": "x-o-client", "role": "x-o-role", "jti": "x-o-key"}
    return {
        "issuer": ISSUER,
        "local_jwks": {"inline_string": snapshot.jwks},
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "claim_to_headers": [
            {"claim_name": claim, "header_name": header} for claim, header in claims.items()
        ],
        "clear_route_cache": True,
        "jwt_cache_config": {"jwt_cache_size": 1000},
    }


def _body_limit(snapshot: Snapshot) -> Json:
    return extension(
        BODY_LIMIT,
        "envoy.extensions.filters.http.buffer.v3.Buffer",
        max_request_bytes=snapshot.max_body_bytes,
    )


def _router(snapshot: Snapshot) -> Json:
    return extension(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        suppress_envoy_headers=True,
        upstream_log=[_attempt_log(snapshot)],
    )


def _attempt_log(snapshot: Snapshot) -> Json:
    """See `upstream_log` for what the fields mean."""
    fields = {
        "at": "%START_TIME(%s.%6f)%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "host": "%UPSTREAM_HOST%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "us": "%COMMON_DURATION(US_TX_BEG:US_RX_END:us)%",
        "first_us": "%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%",
        "request": "%REQ(X-REQUEST-ID)%",
        "attempt": "%REQ(X-ENVOY-ATTEMPT-COUNT)%",
        "path": "%REQ(:PATH)%",
    }
    expression = (
        "response.code == 0 || response.code >= 500 || response.flags != 0"
        f" || xds.route_metadata.filter_metadata['{METADATA}'].observe"
        " || xds.cluster_name.startsWith('shadow-')"
    )
    return {
        **extension(
            "envoy.access_loggers.file",
            "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            path=snapshot.paths.upstream_log,
            log_format={"json_format": fields},
        ),
        "filter": {
            "extension_filter": extension(
                "envoy.access_loggers.extension_filters.cel",
                "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                expression=expression,
            )
        },
    }


def _tls(snapshot: Snapshot) -> Json:
    secret = {
        "name": CERTIFICATE_NAME,
        "sds_config": watched_file(snapshot.paths.resource("sds")),
    }
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_2",
                "tls_maximum_protocol_version": "TLSv1_3",
            },
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [secret],
        },
    )


def _local_replies(snapshot: Snapshot) -> Json:
    """Envoy's own answers, in the form of the API's errors: what happened and what to do."""
    revoked = {"header_filter": {"header": {"name": "x-o-key", "present_match": True}}}
    limit = snapshot.max_body_bytes
    sentences = [
        _reply(
            400,
            "bad_request",
            "the request is malformed (%RESPONSE_CODE_DETAILS%); send well-formed HTTP, and no "
            "NUL character in the path",
        ),
        _reply(
            401, "unauthorized", "this API key was revoked; ask the operator for another", revoked
        ),
        _reply(
            401,
            "unauthorized",
            "a valid API key is needed: send it as `Authorization: Bearer KEY`; "
            "an operator makes one with `o keys create`",
        ),
        _reply(
            403,
            "forbidden",
            "operator routes need a key with the role `operator`; upgrades (WebSocket) are not "
            "offered",
        ),
        _reply(
            404,
            "not_found",
            "no running instance is what `x-o-instance` or `x-o-variant` asks for; see `o status`",
        ),
        _reply(408, "timeout", "the request did not arrive in time; send it again, faster"),
        _reply(413, "too_large", f"the request's body is larger than {limit} bytes; send less"),
        _reply(431, "too_large", "the request has too many or too large headers; send less"),
        _reply(503, "unavailable", "nothing that could answer is ready; try again in a moment"),
        _reply(504, "timeout", "there was no answer in time; try again"),
    ]
    return {
        "mappers": sentences,
        "body_format": {"json_format": {"detail": "%LOCAL_REPLY_BODY%", "code": "refused"}},
    }


def _reply(status: int, code: str, sentence: str, also: Json | None = None) -> Json:
    value = {"default_value": status, "runtime_key": f"o.reply.{status}"}
    has_status = {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}
    condition = has_status if also is None else {"and_filter": {"filters": [has_status, also]}}
    reply: Json = {
        "filter": condition,
        "body_format_override": {"json_format": {"detail": sentence, "code": code}},
    }
    if status == 503:
        reply["headers_to_add"] = [{"header": {"key": "retry-after", "value": RETRY_AFTER_S}}]
    return reply
