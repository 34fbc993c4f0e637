from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.permissions import AllowAny
from rest_framework.routers import DefaultRouter

from expenses import views

router = DefaultRouter()
router.register("expenses", views.ExpenseViewSet, basename="expense")

urlpatterns = [
    path("api/register/", views.register_view),
    path("api/login/", views.login_view),
    path("api/", include(router.urls)),
    path("api/schema/", SpectacularAPIView.as_view(permission_classes=[AllowAny])),
]
