import "reflect-metadata";
import {
  Body, Controller, Delete, Get, HttpCode, Module, Param, ParseIntPipe, Post, Put, Query, UploadedFile,
  UseInterceptors, ValidationPipe,
} from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { FileInterceptor } from "@nestjs/platform-express";
import {
  ApiBody, ApiConsumes, ApiProperty, ApiPropertyOptional, ApiQuery, DocumentBuilder, SwaggerModule,
} from "@nestjs/swagger";
import { Type } from "class-transformer";
import {
  IsArray, IsIn, IsInt, IsISO8601, IsNumber, IsOptional, IsString, Length, Min, NotEquals, ValidateNested,
} from "class-validator";

import { listening, RESERVED, seen } from "./seen.mjs";

class Owner {
  @ApiProperty() @IsString() name: string;
  @ApiPropertyOptional({ type: "integer", nullable: true }) @IsOptional() @IsInt() age?: number | null;
}

class Item {
  @ApiProperty({ minLength: 1, maxLength: 40 })
  @Length(1, 40) @NotEquals("house", { message: RESERVED })
  name: string;

  @ApiProperty({ type: "integer", minimum: 0 }) @IsInt() @Min(0) quantity: number;
  @ApiProperty() @IsNumber() price: number;

  @ApiProperty({ oneOf: [{ type: "string", format: "date" }, { type: "string", format: "date-time" }] })
  @IsISO8601()
  due: string;

  @ApiPropertyOptional({ enum: ["", "draft", "live"] }) @IsOptional() @IsIn(["", "draft", "live"]) status?: string;
  @ApiPropertyOptional({ type: String, nullable: true }) @IsOptional() @IsString() note?: string | null;

  @ApiPropertyOptional({ type: () => Owner, nullable: true })
  @IsOptional() @ValidateNested() @Type(() => Owner)
  owner?: Owner | null;

  @ApiPropertyOptional({ type: [String] }) @IsOptional() @IsArray() @IsString({ each: true }) tags?: string[];
}

@Controller("items")
class ItemsController {
  @Get()
  @ApiQuery({ name: "filter[name]", required: false })
  @ApiQuery({ name: "limit", type: "integer", required: false })
  @ApiQuery({ name: "tags", type: [String], required: false })
  list(
    @Query("filter[name]") name?: string,
    @Query("limit", new ParseIntPipe({ optional: true })) limit?: number,
    @Query("tags") tags?: string[],
  ) {
    seen("list", { name, limit, tags });
    return [];
  }

  @Get(":id")
  get(@Param("id", ParseIntPipe) id: number) {
    seen("get", { id });
    return { id };
  }

  @Post()
  create(@Body() item: Item) {
    seen("create", { item });
    return { id: 8 };
  }

  @Put(":id")
  update(@Param("id", ParseIntPipe) id: number, @Body() item: Item) {
    seen("update", { id, item });
    return { id };
  }

  @Delete(":id")
  @HttpCode(204)
  remove(@Param("id", ParseIntPipe) id: number) {
    seen("delete", { id });
  }

  @Post(":id/photo")
  @UseInterceptors(FileInterceptor("photo"))
  @ApiConsumes("multipart/form-data")
  @ApiBody({ schema: { type: "object", properties: { photo: { type: "string", format: "binary" } } } })
  photo(@Param("id", ParseIntPipe) id: number, @UploadedFile() photo: { size: number }) {
    seen("upload", { id, bytes: photo.size });
    return { bytes: photo.size };
  }
}

@Module({ controllers: [ItemsController] })
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ["error", "warn"] });
app.useGlobalPipes(new ValidationPipe({ whitelist: true }));
SwaggerModule.setup("api", app, SwaggerModule.createDocument(app, new DocumentBuilder().build()));
await app.listen(0, "127.0.0.1");
listening(app.getHttpServer().address().port);
