import django
from django.conf import settings

# Without COMPONENT_SPLIT_REQUEST, a FileField of a request is documented as the address that answers have.
settings.configure(
    SECRET_KEY="for a test",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework", "drf_spectacular"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    SPECTACULAR_SETTINGS={"COMPONENT_SPLIT_REQUEST": True},
    REST_FRAMEWORK={
        "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
    },
)
django.setup()

from django.db import connection, models
from django.urls import include, path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework import parsers, routers, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from seen import RESERVED, seen, serve_wsgi


class Item(models.Model):
    STATUS = {"draft": "Draft", "live": "Live"}
    name = models.CharField(max_length=40)
    quantity = models.PositiveIntegerField()
    price = models.FloatField()
    due = models.DateField()
    status = models.CharField(max_length=10, choices=STATUS, blank=True, null=True)
    link = models.URLField(blank=True)
    note = models.TextField(null=True, blank=True)
    tags = models.JSONField(default=list)

    class Meta:
        app_label = "shop"


class OwnerSerializer(serializers.Serializer):
    name = serializers.CharField()
    age = serializers.IntegerField(required=False, allow_null=True)


class ItemSerializer(serializers.ModelSerializer):
    owner = OwnerSerializer(required=False, allow_null=True)
    tags = serializers.ListField(child=serializers.CharField(), required=False)

    class Meta:
        model = Item
        fields = "__all__"

    def validate_name(self, name):
        if name == "house":
            raise serializers.ValidationError(RESERVED)
        return name


class PhotoSerializer(serializers.Serializer):
    photo = serializers.FileField()


class ItemViewSet(viewsets.ModelViewSet):
    queryset = Item.objects.all()
    serializer_class = ItemSerializer
    http_method_names = ["get", "post", "put", "delete"]

    @extend_schema(
        parameters=[
            OpenApiParameter("filter[name]", OpenApiTypes.STR),
            OpenApiParameter("limit", OpenApiTypes.INT),
            OpenApiParameter("tags", OpenApiTypes.STR, many=True),
        ]
    )
    def list(self, request):
        asked = request.query_params
        limit = serializers.IntegerField().run_validation(asked.get("limit"))
        seen("list", name=asked.get("filter[name]"), limit=limit, tags=asked.getlist("tags"))
        return Response([])

    def retrieve(self, request, pk):
        seen("get", id=int(pk))
        return Response({"id": int(pk)})

    def perform_create(self, serializer):
        seen("create", item=dict(serializer.validated_data))
        serializer.instance = Item(id=8, due=serializer.validated_data["due"])

    def update(self, request, pk):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        seen("update", id=int(pk), item=dict(serializer.validated_data))
        return Response({"id": int(pk)})

    def destroy(self, request, pk):
        seen("delete", id=int(pk))
        return Response(status=204)

    @extend_schema(request=PhotoSerializer)
    @action(detail=True, methods=["post"], parser_classes=[parsers.MultiPartParser])
    def photo(self, request, pk):
        seen("upload", id=int(pk), bytes=request.data["photo"].size)
        return Response({"bytes": request.data["photo"].size})


router = routers.DefaultRouter()
router.register("items", ItemViewSet)
urlpatterns = [
    path("api/schema/", SpectacularAPIView.as_view()),
    path("api/", include(router.urls)),
]

with connection.schema_editor() as editor:
    editor.create_model(Item)

from django.core.wsgi import get_wsgi_application

serve_wsgi(get_wsgi_application())
