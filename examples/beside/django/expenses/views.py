from django.contrib.auth import authenticate, get_user_model, login
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import api_view, permission_classes
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.response import Response

from .models import Expense


class Credentials(serializers.Serializer):
    email = serializers.EmailField()
    password = serializers.CharField()


class ExpenseSerializer(serializers.ModelSerializer):
    class Meta:
        model = Expense
        fields = ["id", "description", "amount", "category", "day"]


class ExpenseViewSet(viewsets.ModelViewSet):
    """The user's own expenses."""

    serializer_class = ExpenseSerializer
    queryset = Expense.objects.none()

    def get_queryset(self):
        return Expense.objects.filter(owner=self.request.user).order_by("id")

    def perform_create(self, serializer):
        serializer.save(owner=self.request.user)


def given(request):
    serializer = Credentials(data=request.data)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data["email"], serializer.validated_data["password"]


@extend_schema(request=Credentials, responses={201: None})
@api_view(["POST"])
@permission_classes([AllowAny])
def register_view(request):
    email, password = given(request)
    user = get_user_model().objects.create_user(email, email, password)
    return Response({"id": user.pk}, status=201)


@extend_schema(request=Credentials, responses={200: None})
@api_view(["POST"])
@permission_classes([AllowAny])
def login_view(request):
    email, password = given(request)
    user = authenticate(request, username=email, password=password)
    if user is None:
        raise AuthenticationFailed("Wrong e-mail or password")
    login(request, user)
    return Response({"id": user.pk})
