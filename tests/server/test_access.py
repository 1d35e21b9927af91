"""Nobody is answered without being logged in and allowed: every route that the extension registers is tried."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from jupyter_server.auth import Authorizer
from jupyter_server.utils import url_path_join
from tornado.web import RequestHandler

import lit_studio.extension
from lit_studio.extension import LitStudioApp

pytest_plugins = ["pytest_jupyter.jupyter_server"]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Denying(Authorizer):
    """Allows nothing of ours and remembers what it was asked."""

    asked: list[tuple[str, str]] = []

    def is_authorized(self, handler, user, action, resource):
        Denying.asked.append((action, resource))
        return resource not in ("lit-studio", "kernels")


def all_rules(router):
    """Every rule of a router and of the routers in it."""
    for rule in router.rules:
        if hasattr(rule.target, "rules"):
            yield from all_rules(rule.target)
        else:
            yield rule


def registered(serverapp) -> list[tuple[str, str, type[RequestHandler]]]:
    """Method, path with an id in place of each group, and handler: from the web application, so nothing is missed."""
    found = []
    for rule in all_rules(serverapp.web_app.default_router):
        target, pattern = rule.target, rule.matcher.regex.pattern
        if not (target.__module__.startswith("lit_studio.") or "lit-studio" in pattern or "lit_studio" in pattern):
            continue
        path = re.sub(r"\(\?P<\w+>[^)]*\)|\([^)]*\)", "0123abcd", pattern).rstrip("$")
        found += [
            (method, path, target)
            for method in METHODS
            if getattr(target, method.lower()) is not getattr(RequestHandler, method.lower())
        ]
    return found


@pytest.fixture
def request_as(request_raw):
    """``await request_as(method, path, header=…)``: the response, logged in only as far as the headers say."""

    async def request_as(method: str, path: str, **headers):
        body = {} if method in ("GET", "HEAD", "DELETE") else {"body": "{}"}
        return await request_raw(path, method=method, headers=headers, follow_redirects=False, **body)

    return request_as


def test_the_routes_are_found(jp_serverapp):
    routes = {(method, path.split("/api/")[1]) for method, path, _ in registered(jp_serverapp)}
    assert routes == {
        ("GET", "info"),
        ("GET", "studio"),
        ("GET", "runs/0123abcd"),
        ("GET", "runs/0123abcd/packet"),
        ("POST", "runs/0123abcd/commands"),
        ("GET", "runs/0123abcd/media"),
        ("GET", "runs/0123abcd/media/0123abcd"),
        ("POST", "guide/0123abcd"),
        ("GET", "kernels"),
        ("POST", "kernels/0123abcd/awake"),
        ("POST", "kernels/0123abcd/shutdown"),
        ("DELETE", "kernels/0123abcd/shutdown"),
        ("DELETE", "kernels/0123abcd/queue/0123abcd"),
        ("GET", "kernels/0123abcd/outputs"),
    }


async def test_no_route_answers_without_a_token(jp_serverapp, request_as):
    for method, path, _ in registered(jp_serverapp):
        for headers in ({}, {"Authorization": "token wrong"}):
            response = await request_as(method, path, **headers)
            assert response.code == 403, (method, path)
            assert set(json.loads(response.body)) <= {"message", "reason"}, (method, path)


async def test_a_handler_planted_without_authentication_is_caught(jp_serverapp, request_as):
    """The test above fails for it: a check that can't fail proves nothing."""
    from jupyter_server.base.handlers import APIHandler

    class Planted(APIHandler):
        def get(self):
            self.finish("{}")

    Planted.__module__ = "lit_studio.extension.planted"
    base = jp_serverapp.web_app.settings["base_url"]
    jp_serverapp.web_app.add_handlers(".*$", [(url_path_join(base, "lit-studio/api/planted"), Planted)])
    answers = {path: (await request_as(method, path)).code for method, path, _ in registered(jp_serverapp)}
    assert [path for path, code in answers.items() if code != 403] == [url_path_join(base, "lit-studio/api/planted")]


class TestDenied:
    @pytest.fixture
    def jp_server_config(self):
        return {"ServerApp": {"jpserver_extensions": {"lit_studio": True}, "authorizer_class": Denying}}

    async def test_the_authorizer_is_asked_about_every_route(self, jp_serverapp, request_as, jp_auth_header):
        document = yaml.safe_load(Path(lit_studio.extension.__file__).with_name("openapi.yaml").read_text())
        expected = {
            (method.upper(), re.sub(r"{\w+}", "0123abcd", path)): (
                operation["x-action"],
                operation.get("x-resource", "lit-studio"),
            )
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if isinstance(operation, dict)
        }
        for method, path, _ in registered(jp_serverapp):
            Denying.asked.clear()
            response = await request_as(method, path, **jp_auth_header)
            assert response.code == 403, (method, path)
            assert Denying.asked == [expected[method, "/" + path.split("/api/")[1]]], path


async def test_a_cookie_without_xsrf_may_not_post(jp_serverapp, request_as, jp_auth_header):
    base = jp_serverapp.base_url
    login = await request_as("GET", f"{base}login?token={jp_serverapp.identity_provider.token}")
    form = await request_as("GET", f"{base}login")
    given = login.headers.get_list("Set-Cookie") + form.headers.get_list("Set-Cookie")
    cookies = [cookie.split(";")[0] for cookie in given]
    assert any(cookie.startswith("username-") for cookie in cookies), "the log-in gives a cookie"
    cookie = "; ".join(cookies)
    xsrf = next(c.partition("=")[2] for c in cookies if c.startswith("_xsrf="))
    page = await request_as("GET", f"{base}lit-studio/api/info", Cookie=cookie, **{"X-XSRFToken": xsrf})
    assert page.code == 200, "the cookie alone lets one read"
    acts = [(method, path) for method, path, _ in registered(jp_serverapp) if method != "GET"]
    assert acts
    for method, path in acts:
        response = await request_as(method, path, Cookie=cookie)
        assert response.code == 403, path
        assert "_xsrf" in json.loads(response.body)["message"]
        response = await request_as(method, path, Cookie=cookie, **{"X-XSRFToken": xsrf})
        assert response.code in (400, 404), "with it the question itself is judged"


def test_the_document_describes_exactly_the_routes(jp_serverapp):
    document = yaml.safe_load(Path(lit_studio.extension.__file__).with_name("openapi.yaml").read_text())
    described = {
        (method.upper(), re.sub(r"{\w+}", "0123abcd", path))
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == {(method, "/" + path.split("/api/")[1]) for method, path, _ in registered(jp_serverapp)}


def test_every_option_says_what_it_does():
    for name, trait in LitStudioApp.class_own_traits(config=True).items():
        assert len(trait.help) > 30, name
