"""Kernel websockets send at once, unless somebody chose another class: measured on the server's own socket."""

from __future__ import annotations

import json
import socket

import pytest
from jupyter_server.gateway.connections import GatewayWebSocketConnection
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from lit_studio.extension.websocket import KeptWebsocketConnection, PromptWebsocketConnection

pytest_plugins = ["pytest_jupyter.jupyter_server"]


class Chosen(ZMQChannelsWebsocketConnection):
    """Somebody's own."""


async def nodelay(jp_fetch, jp_ws_fetch, serverapp) -> int:
    """The option as set on the server's end of a kernel's websocket."""
    kernel = json.loads((await jp_fetch("api/kernels", method="POST", body="{}")).body)["id"]
    websocket = await jp_ws_fetch("api/kernels", kernel, "channels")
    try:
        await serverapp.kernel_manager.get_kernel(kernel).ready
        [connection] = ZMQChannelsWebsocketConnection._open_sockets
        end = connection.websocket_handler.ws_connection.stream.socket
        return end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        websocket.close()
        await jp_fetch("api/kernels", kernel, method="DELETE")


async def test_the_option_is_set(jp_fetch, jp_ws_fetch, jp_serverapp: ServerApp):
    assert jp_serverapp.kernel_websocket_connection_class is KeptWebsocketConnection
    assert await nodelay(jp_fetch, jp_ws_fetch, jp_serverapp) == 1


class TestKernelsThatEndWithTheServer:
    @pytest.fixture
    def jp_server_config(self):
        return {
            "ServerApp": {"jpserver_extensions": {"lit_studio": True}},
            "LitStudioApp": {"persistent_kernels": False},
        }

    async def test_the_option_is_set_too(self, jp_fetch, jp_ws_fetch, jp_serverapp):
        assert jp_serverapp.kernel_websocket_connection_class is PromptWebsocketConnection
        assert await nodelay(jp_fetch, jp_ws_fetch, jp_serverapp) == 1


class TestUnprompted:
    @pytest.fixture
    def jp_server_config(self):
        return {
            "ServerApp": {"jpserver_extensions": {"lit_studio": True}},
            "LitStudioApp": {"prompt_websockets": False},
        }

    async def test_a_person_may_want_it_otherwise(self, jp_fetch, jp_ws_fetch, jp_serverapp):
        assert await nodelay(jp_fetch, jp_ws_fetch, jp_serverapp) == 0


class TestSwitchedOff:
    @pytest.fixture
    def jp_server_config(self):
        return {
            "ServerApp": {"jpserver_extensions": {"lit_studio": True}},
            "LitStudioApp": {"prompt_websockets": False, "persistent_kernels": False},
        }

    async def test_the_stock_class_waits(self, jp_fetch, jp_ws_fetch, jp_serverapp):
        """Once this fails, Jupyter server sets the option itself and ours can go."""
        assert jp_serverapp.kernel_websocket_connection_class is ZMQChannelsWebsocketConnection
        assert await nodelay(jp_fetch, jp_ws_fetch, jp_serverapp) == 0


class TestChosen:
    @pytest.fixture
    def jp_server_config(self):
        return {
            "ServerApp": {
                "jpserver_extensions": {"lit_studio": True},
                "kernel_websocket_connection_class": f"{__name__}.Chosen",
            }
        }

    def test_somebody_elses_choice_stays(self, jp_serverapp):
        assert jp_serverapp.kernel_websocket_connection_class.__name__ == "Chosen"


class TestGateway:
    @pytest.fixture
    def jp_server_config(self):
        GatewayClient.clear_instance()  # it remembers the server of the test before
        yield {
            "ServerApp": {"jpserver_extensions": {"lit_studio": True}},
            "GatewayClient": {"url": "http://127.0.0.1:9"},
        }
        GatewayClient.clear_instance()

    def test_a_gateways_class_stays(self, jp_serverapp):
        assert jp_serverapp.kernel_websocket_connection_class is GatewayWebSocketConnection
