"""A Django application whose people log in with the same library. Its settings are those of the page."""

import os

import django
from django.conf import settings

import agent_settings
import serve

settings.configure(
    SECRET_KEY="the-secret-of-people-of-32-bytes",
    AGENT_JWT_SECRET=os.environ["AGENT_JWT_SECRET"],
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="__main__",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "app.db"}},
    SIMPLE_JWT=agent_settings.SIMPLE_JWT,
    REST_FRAMEWORK=agent_settings.REST_FRAMEWORK
    | {"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"]},
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.decorators import api_view, permission_classes  # noqa: E402
from rest_framework.exceptions import NotFound  # noqa: E402
from rest_framework.permissions import AllowAny  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework_simplejwt.tokens import AccessToken  # noqa: E402

call_command("migrate", verbosity=0)
User.objects.create(id=7, username="ann")
User.objects.create(id=8, username="bob")


def answer(request):
    return Response({"user_id": str(request.user.id), "role": request.auth.get("agent_role")})


@api_view()
def me(request):
    return answer(request)


@api_view()
def user(request, user_id):
    if user_id != request.user.id:
        raise NotFound
    return answer(request)


@api_view()
@permission_classes([AllowAny])
def public(request):
    return Response({})


@api_view()
@permission_classes([AllowAny])
def login(request):
    return Response({"token": str(AccessToken.for_user(User.objects.get(id=7)))})


urlpatterns = [path("me", me), path("users/<int:user_id>", user), path("public", public), path("login", login)]
serve.wsgi(get_wsgi_application())
