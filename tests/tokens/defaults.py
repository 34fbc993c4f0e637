"""What the libraries take that are told nothing but the secret and the algorithm: JSON of tokens in, of verdicts out."""

import json
import os
import sys

import django
import jwt
from django.conf import settings
from fastapi_users.jwt import decode_jwt
from flask import Flask
from flask_jwt_extended import JWTManager, decode_token
from joserfc import jwt as joserfc
from joserfc.jwk import OctKey

SECRET = os.environ["AGENT_JWT_SECRET"]
settings.configure(SECRET_KEY=SECRET, INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"])
django.setup()
from rest_framework_simplejwt.tokens import UntypedToken  # noqa: E402
app = Flask(__name__)
app.config["JWT_SECRET_KEY"] = SECRET
JWTManager(app)


def flask_jwt_extended(token):
    with app.app_context():
        decode_token(token)


def registry(token):
    joserfc.JWTClaimsRegistry().validate(joserfc.decode(token, OctKey.import_key(SECRET)).claims)


LIBRARIES = {
    "PyJWT": lambda token: jwt.decode(token, SECRET, ["HS256"]),
    "joserfc, `decode`": lambda token: joserfc.decode(token, OctKey.import_key(SECRET)),
    "joserfc, with its registry": registry,
    "flask-jwt-extended": flask_jwt_extended,
    "simplejwt": UntypedToken,
    "fastapi-users": lambda token: decode_jwt(token, SECRET, ["fastapi-users:auth"]),
}


def taken(check, token):
    try:
        check(token)
    except Exception:
        return False
    return True


tokens = json.loads(sys.argv[1])
print(json.dumps({name: [taken(check, token) for token in tokens] for name, check in LIBRARIES.items()}))
